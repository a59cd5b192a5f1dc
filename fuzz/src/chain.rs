//! Three short development chains that part ways in the middle.

use std::sync::LazyLock;

use spacetime_core::Hash;
use spacetime_core::chain::{
    Block, BlockHeader, ChainRules as _, DevelopmentChain, HEADER_BYTES, HeaderInfo, SpacetimeRules,
    development_genesis,
};

/// The height of the last block of each chain.
pub(super) const HEIGHT: usize = 16;

/// The height of the last block that all have.
const LAST_COMMON_HEIGHT: usize = 6;

/// Blocks by height.
#[derive(Debug)]
pub(super) struct Chain {
    blocks: Vec<Vec<u8>>,
    infos: Vec<HeaderInfo>,
}

/// The chain that is followed unless there is the heavy one.
pub(super) fn real() -> &'static Chain {
    static REAL: LazyLock<Chain> = LazyLock::new(|| {
        let blocks = DevelopmentChain::new(1, 600).take(HEIGHT);
        Chain::new(std::iter::once(development_genesis()).chain(blocks).collect())
    });
    &REAL
}

/// One that nobody should follow: as well linked, and refused by whoever checks more than links.
pub(super) fn fork() -> &'static Chain {
    static FORK: LazyLock<Chain> = LazyLock::new(|| parting(|header| header.challenge = [0xf0; 32]));
    &FORK
}

/// One that is as good as the real one, and heavier.
pub(super) fn heavy() -> &'static Chain {
    static HEAVY: LazyLock<Chain> = LazyLock::new(|| parting(|header| header.difficulty *= 2));
    &HEAVY
}

/// The real chain up to where all part, and then with other headers.
fn parting(change: impl Fn(&mut BlockHeader)) -> Chain {
    let mut blocks = real().blocks.clone();
    let mut parent = real().hash(LAST_COMMON_HEIGHT);
    for block in &mut blocks[LAST_COMMON_HEIGHT + 1..] {
        let mut header = Block::decode(block).expect("a generated block").header;
        header.parent_hash = parent;
        change(&mut header);
        block[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
        parent = header.hash();
    }
    Chain::new(blocks)
}

/// Where a good block stands.
pub(super) fn place_of(hash: Hash) -> Option<(&'static Chain, usize)> {
    [real(), heavy()].into_iter().find_map(|chain| Some((chain, chain.height_of(hash)?)))
}

pub(super) fn rules() -> &'static SpacetimeRules {
    static RULES: LazyLock<SpacetimeRules> =
        LazyLock::new(|| SpacetimeRules::new(&development_genesis()).expect("the development genesis"));
    &RULES
}

/// The hash of the genesis block.
pub(super) fn chain_id() -> Hash {
    real().hash(0)
}

/// What a block's header says.
pub(super) fn info(block: &[u8]) -> HeaderInfo {
    let header = block.get(..HEADER_BYTES).unwrap_or(block);
    rules().read_header(header).expect("only checked headers come here")
}

impl Chain {
    fn new(blocks: Vec<Vec<u8>>) -> Self {
        let infos = blocks.iter().map(|block| info(block)).collect();
        Self { blocks, infos }
    }

    pub(super) fn block(&self, height: usize) -> &[u8] {
        &self.blocks[height]
    }

    pub(super) fn header(&self, height: usize) -> &[u8] {
        &self.blocks[height][..HEADER_BYTES]
    }

    pub(super) fn hash(&self, height: usize) -> Hash {
        self.infos[height].hash
    }

    pub(super) fn info(&self, height: usize) -> HeaderInfo {
        self.infos[height]
    }

    /// What the blocks up to a height weigh.
    pub(super) fn weight(&self, height: usize) -> u64 {
        self.infos[..=height].windows(2).map(|it| rules().weight(&it[0], &it[1])).sum()
    }

    pub(super) fn height_of(&self, hash: Hash) -> Option<usize> {
        self.infos.iter().position(|it| it.hash == hash)
    }

    /// The headers after a block, of a node that has the chain up to `height`.
    pub(super) fn headers_after(
        &self,
        locator: Hash,
        stop: Option<Hash>,
        max: usize,
        height: usize,
    ) -> Vec<&[u8]> {
        let after = if locator == Hash::ZERO { Some(0) } else { self.height_of(locator) };
        let first = after.map_or(height + 1, |after| after + 1);
        let stop = stop.and_then(|stop| self.height_of(stop)).unwrap_or(height);
        (first..=height.min(stop)).take(max).map(|height| self.header(height)).collect()
    }
}
