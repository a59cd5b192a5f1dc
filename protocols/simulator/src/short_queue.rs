//! Queues in which one thing waits most of the time, or nothing.

use std::collections::VecDeque;

/// First in, first out. What comes out next lies in it and not beside it: of thousands of links each
/// costs little memory that way, and finding what has just arrived one look less.
#[derive(Debug)]
pub(crate) struct ShortQueue<T> {
    first: Option<T>,
    /// Nothing waits here while nothing is first.
    #[allow(clippy::box_collection, reason = "one word in each of thousands of links, not four")]
    rest: Option<Box<VecDeque<T>>>,
}

impl<T> Default for ShortQueue<T> {
    fn default() -> Self {
        Self { first: None, rest: None }
    }
}

impl<T> ShortQueue<T> {
    pub(crate) fn push_back(&mut self, value: T) {
        if self.first.is_none() {
            self.first = Some(value);
        } else {
            self.rest.get_or_insert_default().push_back(value);
        }
    }

    pub(crate) const fn front(&self) -> Option<&T> {
        self.first.as_ref()
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let first = self.first.take()?;
        self.first = self.rest.as_mut().and_then(|rest| rest.pop_front());
        Some(first)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_first_in_is_first_out() {
        let mut queue = ShortQueue::default();
        let mut next = 0;
        for pushes in [1, 0, 3, 1, 0, 2] {
            (0..pushes).for_each(|_| {
                queue.push_back(next);
                next += 1;
            });
            let first = queue.front().copied();
            assert_eq!(queue.pop_front(), first);
        }
        let rest: Vec<_> = std::iter::from_fn(|| queue.pop_front()).collect();
        assert_eq!(rest, [5, 6]);
        queue.push_back(7);
        queue.clear();
        assert_eq!(queue.pop_front(), None);
    }
}
