//! Draws from a seed.

use doorstep_core::clock::{Entropy, SeededEntropy};

/// A stream of draws.
#[derive(Debug)]
pub struct Dice(SeededEntropy);

impl Dice {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    /// A seed for a stream of its own.
    pub fn seed(&self) -> u64 {
        self.0.next_u64()
    }

    /// Below `bound`.
    pub fn below(&self, bound: u64) -> u64 {
        // the low bits of a few draws in a row aren't worse than the high ones, but mix them all the same
        if bound == 0 { 0 } else { (self.0.next_u64() >> 11) % bound }
    }

    /// From `low` to `high`, both included.
    pub fn between(&self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in `percent` of 100 draws.
    pub fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// An index of a list; `None` if it is empty.
    pub fn index(&self, len: usize) -> Option<usize> {
        (len > 0).then(|| self.below(len as u64) as usize)
    }

    /// One of a list; `None` if it is empty.
    pub fn pick<'a, T>(&self, list: &'a [T]) -> Option<&'a T> {
        self.index(list.len()).map(|i| &list[i])
    }

    /// One of a list with weights.
    pub fn weighted<T: Copy>(&self, list: &[(u64, T)]) -> T {
        let total: u64 = list.iter().map(|(w, _)| w).sum();
        let mut at = self.below(total);
        for (weight, what) in list {
            if at < *weight {
                return *what;
            }
            at -= weight;
        }
        list[0].1
    }

    /// Another order.
    pub fn shuffle<T>(&self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    /// Random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        self.0.bytes()
    }
}
