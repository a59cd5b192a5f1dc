//! `spacetime devnet`: the main job in one command.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use spacetime_core::Limits;
use spacetime_core::chain::HeaderInfo;
use spacetime_node::Status;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;

use super::chain::generate_in;
use super::{logging, runtime, say};
use crate::app::{AppError, DataFolder, FullNode, NodeHandle, Options};

/// How often the nodes are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long no node may get on before the network is given up.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The seed of the chain, the same in every network.
const CHAIN_SEED: u64 = 1;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// How many nodes
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=100))]
    nodes: u16,

    /// How many blocks the chain has
    #[arg(long, default_value_t = 2000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    blocks: u64,

    /// The size of each block, in bytes
    #[arg(long, default_value_t = 10_240, value_name = "B", value_parser = clap::value_parser!(u32).range(415..=16_000_000))]
    block_bytes: u32,

    /// What to log
    #[arg(long, env = "SPACETIME_LOG", value_name = "FILTER", default_value = "warn")]
    log: String,
}

/// A node of the network, while it runs.
struct Member {
    handle: NodeHandle,
    /// How long it took until it had the whole chain.
    took: Option<Duration>,
    status: Option<Status>,
}

pub(super) fn run(arguments: Arguments) -> Result<(), AppError> {
    logging::start(&arguments.log)?;
    let runtime = runtime()?;
    let result = runtime.block_on(network(&arguments));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn network(arguments: &Arguments) -> Result<(), AppError> {
    let folder =
        tempfile::tempdir().map_err(|error| AppError::failed("cannot make a temporary folder", error))?;
    let blocks = arguments.blocks;
    say(format_args!("making a chain of {blocks} blocks of {} bytes", arguments.block_bytes));
    let first = DataFolder::open(&folder.path().join("node-0"))?;
    let block_bytes = arguments.block_bytes as usize;
    let generated =
        tokio::task::spawn_blocking(move || generate_in(&first, blocks, block_bytes, CHAIN_SEED)).await;
    let tip = generated.map_err(|error| AppError::failed("cannot make the chain", error))??;

    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let mut members = start_nodes(arguments, &folder, &stop, &mut tasks).await?;
    let outcome = watch(&mut members, tip).await;
    stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| AppError::failed("a node has panicked", error))??;
    }
    print_table(&members, arguments);
    outcome?;
    say(format_args!("all {} nodes agree on tip {} {}", members.len(), tip.height, tip.hash));
    Ok(())
}

/// Starts all nodes. Each dials two of those before it, so most get the chain from one that has
/// just got it itself.
async fn start_nodes(
    arguments: &Arguments,
    folder: &TempDir,
    stop: &CancellationToken,
    tasks: &mut JoinSet<Result<(), AppError>>,
) -> Result<Vec<Member>, AppError> {
    let mut members = Vec::new();
    let mut addresses = Vec::new();
    for index in 0..usize::from(arguments.nodes) {
        let mut options = Options::new(folder.path().join(format!("node-{index}")));
        // Nobody else uses this line.
        options.limits = Limits::default();
        options.listen = vec![spacetime_core::Address::socket(([127, 0, 0, 1], 0).into())];
        let before = [index.checked_sub(1), index.checked_sub(2)];
        let before = before.into_iter().flatten().filter_map(|peer| addresses.get(peer).cloned());
        options.peers = options.peers.with_kept(before);
        let node = FullNode::open(options).await?;
        let address = node.listen_addresses().first().cloned();
        addresses.extend(address.map(|address| address.pinned(node.peer_id())));
        members.push(Member { handle: node.handle(), took: None, status: None });
        let stop = stop.clone();
        tasks.spawn(async move { node.run(stop.cancelled()).await });
    }
    Ok(members)
}

/// Watches until all nodes have the whole chain, or none gets on any more.
async fn watch(members: &mut [Member], tip: HeaderInfo) -> Result<(), AppError> {
    let total = tip.height * (members.len() as u64 - 1);
    let bar = progress_bar(total);
    let started = Instant::now();
    let mut last_change = (0, started);
    let mut looks = interval(LOOK_INTERVAL);
    loop {
        looks.tick().await;
        for member in &mut *members {
            member.status = member.handle.status().await.ok();
            let height = member.status.as_ref().map_or(0, |status| status.tip.height);
            if height >= tip.height && member.took.is_none() {
                member.took = Some(started.elapsed());
            }
        }
        let heights = members.iter().skip(1).filter_map(|member| Some(member.status.as_ref()?.tip.height));
        let synced = heights.sum();
        show(bar.as_ref(), synced, total, started.elapsed());
        if members.iter().all(|member| member.took.is_some()) {
            break;
        }
        if synced > last_change.0 {
            last_change = (synced, Instant::now());
        } else if last_change.1.elapsed() > STALL_TIMEOUT {
            let text = format!("no node got on for {} s", STALL_TIMEOUT.as_secs());
            return Err(AppError::Failed(text));
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    agree(members, tip).await
}

/// Whether all nodes have one tip. A moment later, so that the table shows them at rest.
async fn agree(members: &mut [Member], tip: HeaderInfo) -> Result<(), AppError> {
    sleep(LOOK_INTERVAL).await;
    for (index, member) in members.iter_mut().enumerate() {
        member.status = member.handle.status().await.ok();
        let hash = member.status.as_ref().map(|status| status.tip.hash.clone());
        if hash.as_deref() != Some(&tip.hash.to_string()) {
            let has = hash.unwrap_or_else(|| "nothing".into());
            return Err(AppError::Failed(format!("node {index} ends in {has} instead of {}", tip.hash)));
        }
    }
    Ok(())
}

fn progress_bar(total: u64) -> Option<ProgressBar> {
    if !std::io::stderr().is_terminal() {
        return None;
    }
    let bar = ProgressBar::new(total);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} blocks {msg}").ok()?;
    bar.set_style(style.progress_chars("=> "));
    Some(bar)
}

fn show(bar: Option<&ProgressBar>, synced: u64, total: u64, elapsed: Duration) {
    let rate = synced as f64 / elapsed.as_secs_f64().max(0.001);
    match bar {
        Some(bar) => {
            bar.set_position(synced);
            bar.set_message(format!("{rate:.0} blocks/s"));
        }
        // A line each second.
        None if elapsed.as_millis() % 1000 < LOOK_INTERVAL.as_millis() => {
            say(format_args!("{synced}/{total} blocks, {rate:.0} blocks/s"));
        }
        None => {}
    }
}

fn print_table(members: &[Member], arguments: &Arguments) {
    say("node  height    tip               seconds   MB/s  downloaded  peers");
    for (index, member) in members.iter().enumerate() {
        let Some(status) = &member.status else {
            say(format_args!("{index:>4}  gone"));
            continue;
        };
        let bytes = status.sync.downloaded_bytes;
        let seconds = member.took.filter(|_| index > 0).map(|took| took.as_secs_f64());
        let rate = seconds.map(|seconds| bytes as f64 / seconds / 1e6);
        let or_dash =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
        say(format_args!(
            "{index:>4}  {:<8}  {:.16}  {:>7}  {:>5}  {:>10}  {:>5}",
            status.tip.height,
            status.tip.hash,
            or_dash(seconds),
            or_dash(rate),
            HumanBytes(bytes).to_string(),
            status.peers.len()
        ));
    }
    if arguments.blocks > 0 && members.iter().any(|member| member.took.is_none()) {
        say("nodes without a time did not get the whole chain");
    }
}
