//! What one input makes a script do.

use arbitrary::{Arbitrary, Unstructured};

/// What one input does at most.
const MAX_OPERATIONS: usize = 200;

/// The operations that the rest of an input stands for.
pub(super) fn operations<'a, O: Arbitrary<'a>>(input: &mut Unstructured<'a>) -> impl Iterator<Item = O> {
    let next = || if input.is_empty() { None } else { O::arbitrary(input).ok() };
    std::iter::from_fn(next).take(MAX_OPERATIONS)
}
