//! A hash over everything that happens in a run.

use std::fmt;

use spacetime_core::Hash;

/// An odd constant with as many ones as zeros, from SplitMix64.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// A running hash. Two runs that differ in one event or one byte differ in it from there on.
///
/// It is no cryptography, only fast: a run hashes every byte that arrives. Equal on every machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Audit {
    low: u64,
    high: u64,
}

impl Audit {
    pub(crate) const fn new() -> Self {
        Self { low: 1, high: 2 }
    }

    /// Adds a number.
    #[inline]
    pub(crate) fn number(&mut self, number: u64) {
        let product = u128::from(self.low ^ number) * u128::from(self.high ^ MULTIPLIER);
        let (low, high) = (product as u64, (product >> 64) as u64);
        // The state itself goes in again, so that a product of zero does not wipe it out.
        self.low = low ^ self.high.rotate_left(23);
        self.high = high.wrapping_add(number ^ self.low.rotate_left(41)) ^ MULTIPLIER;
    }

    /// Adds bytes, and how many there are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        // Two lanes that do not wait for each other, 16 bytes each at a time.
        let (mut one, mut other) = (MULTIPLIER, bytes.len() as u64);
        let mut add = |block: &[u8; 32]| {
            let [a, b, c, d] = words(block);
            one = mixed(one ^ a, MULTIPLIER ^ b);
            other = mixed(other ^ c, MULTIPLIER ^ d);
        };
        let (blocks, rest) = bytes.as_chunks::<32>();
        blocks.iter().for_each(&mut add);
        if !rest.is_empty() {
            // The last bytes that there are: some of them again, if there are enough.
            let last = bytes.last_chunk().copied().unwrap_or_else(|| {
                let mut block = [0; 32];
                block[..rest.len()].copy_from_slice(rest);
                block
            });
            add(&last);
        }
        self.number(one);
        self.number(other);
    }

    /// Adds what a value shows of itself.
    pub(crate) fn shown(&mut self, value: &impl fmt::Debug) {
        // It never fails: `write_str` below does not.
        let _ = fmt::write(self, format_args!("{value:?}"));
    }

    /// What came out.
    pub(crate) fn finish(&self) -> Hash {
        let mut copy = *self;
        let mut hash = [0; 32];
        for word in hash.as_chunks_mut().0 {
            copy.number(0);
            *word = (copy.low ^ copy.high).to_le_bytes();
        }
        Hash(hash)
    }
}

fn words(block: &[u8; 32]) -> [u64; 4] {
    let (words, _) = block.as_chunks();
    std::array::from_fn(|index| u64::from_le_bytes(words[index]))
}

/// Both halves of a product.
const fn mixed(one: u64, other: u64) -> u64 {
    let product = one as u128 * other as u128;
    // What is multiplied goes in as well, so that a zero in it does not wipe the other out.
    product as u64 ^ (product >> 64) as u64 ^ one.rotate_left(17) ^ other
}

impl fmt::Write for Audit {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(f: impl FnOnce(&mut Audit)) -> Hash {
        let mut audit = Audit::new();
        f(&mut audit);
        audit.finish()
    }

    #[test]
    fn everything_that_differs_shows() {
        let all = [
            of(|_| {}),
            of(|audit| (0..2).for_each(|_| audit.number(0))),
            of(|audit| audit.number(1)),
            of(|audit| audit.bytes(b"")),
            of(|audit| audit.bytes(b"\0")),
            of(|audit| audit.bytes(b"abcdefghi")),
            of(|audit| audit.bytes(b"abcdefghj")),
            of(|audit| {
                audit.bytes(b"abcdefgh");
                audit.bytes(b"i");
            }),
            of(|audit| audit.shown(&Some(1))),
            of(|audit| audit.shown(&Some(2))),
        ];
        for (index, hash) in all.iter().enumerate() {
            assert!(!all[..index].contains(hash), "{index}");
        }
    }

    #[test]
    fn every_byte_counts() {
        for len in 1..100 {
            let bytes = vec![0; len];
            let without = of(|audit| audit.bytes(&bytes));
            for index in 0..len {
                for bit in 0..8 {
                    let mut changed = bytes.clone();
                    changed[index] ^= 1 << bit;
                    assert_ne!(of(|audit| audit.bytes(&changed)), without, "{len} {index} {bit}");
                }
            }
        }
    }

    #[test]
    fn no_number_wipes_out_what_was_before() {
        for wiping in [0, 1, 2, MULTIPLIER, u64::MAX, 2 ^ MULTIPLIER] {
            let mut one = Audit::new();
            let mut other = Audit::new();
            other.number(7);
            for audit in [&mut one, &mut other] {
                (0..4).for_each(|_| audit.number(wiping));
            }
            assert_ne!(one, other, "{wiping}");
        }
    }
}
