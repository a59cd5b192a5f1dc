//! `spacetime chain`: make, show and check chains.

use clap::{Args, Subcommand};
use spacetime_core::chain::{ChainRules, DevelopmentChain, HeaderInfo, InvalidObject};
use spacetime_core::wire::MAX_PAYLOAD;

use super::node_folder::NodeFolder;
use super::say;
use crate::app::full_node::{development_rules, open_store};
use crate::app::{AppError, DataFolder, chain_keeper};
use crate::store::{ChainStore, CheckedBlock, RedbStore};

/// Blocks that are stored in one transaction.
const BATCH_BLOCKS: usize = 256;
/// Their bytes.
const BATCH_BYTES: usize = 8 << 20;

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Make a chain of well-formed blocks with real transactions in them
    Generate(GenerateArguments),
    /// Say how long the chain is and where it ends
    Info(InfoArguments),
    /// Check every block, hash and link from genesis to the tip
    Verify(NodeFolder),
}

#[derive(Args, Debug)]
pub(super) struct GenerateArguments {
    /// How many blocks follow genesis
    #[arg(long, value_name = "N")]
    blocks: u64,

    /// The size of each, in bytes; less what does not fill a transaction
    #[arg(long, value_name = "B", default_value_t = 10_240, value_parser = clap::value_parser!(u32).range(415..=i64::from(MAX_PAYLOAD)))]
    block_bytes: u32,

    /// The same seed gives the same chain
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    #[command(flatten)]
    node: NodeFolder,
}

#[derive(Args, Debug)]
pub(super) struct InfoArguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    node: NodeFolder,
}

pub(super) fn run(command: Command) -> Result<(), AppError> {
    match command {
        Command::Generate(arguments) => generate(arguments),
        Command::Info(arguments) => info(arguments),
        Command::Verify(arguments) => verify(arguments),
    }
}

fn generate(arguments: GenerateArguments) -> Result<(), AppError> {
    let folder = DataFolder::open(&arguments.node.path()?)?;
    let tip = generate_in(&folder, arguments.blocks, arguments.block_bytes as usize, arguments.seed)?;
    say(format_args!("tip {} {}", tip.height, tip.hash));
    Ok(())
}

/// Makes a chain in a folder that has none.
pub(super) fn generate_in(
    folder: &DataFolder,
    blocks: u64,
    block_bytes: usize,
    seed: u64,
) -> Result<HeaderInfo, AppError> {
    let rules = development_rules()?;
    let store = open_store(folder, &rules)?;
    if store.height()? > 0 {
        let (path, height) = (folder.path().display(), store.height()?);
        let text = format!("{path} has a chain of {height} blocks already; give another --datadir");
        return Err(AppError::Failed(text));
    }
    let mut batch = Vec::new();
    let mut batch_bytes = 0;
    let mut chain = DevelopmentChain::new(seed, block_bytes);
    for _ in 0..blocks {
        let Some(block) = chain.next() else { break };
        batch_bytes += block.len();
        batch.push(block);
        if batch.len() >= BATCH_BLOCKS || batch_bytes >= BATCH_BYTES {
            append(&store, &rules, &batch)?;
            batch.clear();
            batch_bytes = 0;
        }
    }
    append(&store, &rules, &batch)?;
    Ok(chain_keeper::tip(&store, &rules)?)
}

fn append(store: &RedbStore, rules: &impl ChainRules, blocks: &[Vec<u8>]) -> Result<(), AppError> {
    let checked: Result<Vec<_>, _> = blocks.iter().map(|bytes| check(rules, bytes)).collect();
    let checked = checked.map_err(|error| AppError::failed("a generated block is broken", error))?;
    Ok(store.append(&checked)?)
}

fn check<'a>(rules: &impl ChainRules, bytes: &'a [u8]) -> Result<CheckedBlock<'a>, InvalidObject> {
    Ok(CheckedBlock { info: rules.check_block(bytes)?, header: rules.header_of(bytes)?, bytes })
}

fn info(arguments: InfoArguments) -> Result<(), AppError> {
    let folder = DataFolder::open(&arguments.node.path()?)?;
    let rules = development_rules()?;
    let store = open_store(&folder, &rules)?;
    let tip = chain_keeper::tip(&store, &rules)?;
    let genesis = rules.check_block(rules.genesis()).map(|info| info.hash).unwrap_or_default();
    if arguments.json {
        say(serde_json::json!({
            "network": "dev",
            "genesis": genesis.to_string(),
            "height": tip.height,
            "hash": tip.hash.to_string(),
            "timestamp": tip.timestamp,
        }));
    } else {
        say(format_args!("genesis {genesis}"));
        say(format_args!("tip     {} {}", tip.height, tip.hash));
    }
    Ok(())
}

fn verify(node: NodeFolder) -> Result<(), AppError> {
    let folder = DataFolder::open(&node.path()?)?;
    let rules = development_rules()?;
    let store = open_store(&folder, &rules)?;
    let height = store.height()?;
    let mut parent: Option<HeaderInfo> = None;
    for at in 0..=height {
        let info = verify_block(&store, &rules, at, parent.as_ref())
            .map_err(|why| AppError::Failed(format!("block {at} of {height}: {why}")))?;
        parent = Some(info);
    }
    let hash = parent.map(|info| info.hash).unwrap_or_default();
    say(format_args!("verified {} blocks, tip {height} {hash}", height + 1));
    Ok(())
}

fn verify_block(
    store: &RedbStore,
    rules: &impl ChainRules,
    height: u64,
    parent: Option<&HeaderInfo>,
) -> Result<HeaderInfo, String> {
    let failed = |error: crate::store::StoreError| error.to_string();
    let block = store.block(height).map_err(failed)?.ok_or("it is missing")?;
    let info = rules.check_block(&block).map_err(|error| error.to_string())?;
    match parent {
        Some(parent) => rules.check_link(parent, &info).map_err(|error| error.to_string())?,
        None if block == rules.genesis() => {}
        None => return Err("it is not the genesis block of this network".into()),
    }
    let headers = store.headers(height, 1).map_err(failed)?;
    let header = rules.header_of(&block).map_err(|error| error.to_string())?;
    if headers.first().map(Vec::as_slice) != Some(header) {
        return Err("its stored header is another one".into());
    }
    if store.height_of(info.hash).map_err(failed)? != Some(height) {
        return Err("the index does not find it by its hash".into());
    }
    Ok(info)
}
