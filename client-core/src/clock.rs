//! Time and randomness, handed in so that a simulation can drive them.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01T00:00:00Z, as some clock claims.
pub type Millis = u64;

/// A clock. A phone's clock only ever makes claims: nothing is ordered, allowed or expired by it.
pub trait Clock: Send + Sync {
    /// The current time in milliseconds since 1970.
    fn now_ms(&self) -> Millis;
}

/// A source of random bytes.
pub trait Entropy: Send + Sync {
    /// Fills `buffer` with random bytes.
    fn fill(&self, buffer: &mut [u8]);

    /// A random array.
    fn bytes<const N: usize>(&self) -> [u8; N]
    where
        Self: Sized,
    {
        random(self)
    }
}

/// A random array from any source, also behind `dyn`.
pub fn random<const N: usize>(entropy: &(impl Entropy + ?Sized)) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> Millis {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as Millis)
    }
}

/// The machine's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        #[expect(clippy::expect_used, reason = "without randomness no key and no id is safe; stopping is right")]
        getrandom::fill(buffer).expect("the system gives random bytes");
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub struct ManualClock(Mutex<Millis>);

impl ManualClock {
    /// A clock standing at `now_ms`.
    pub fn at(now_ms: Millis) -> Self {
        Self(Mutex::new(now_ms))
    }

    /// Sets the clock, also backwards.
    pub fn set(&self, now_ms: Millis) {
        *self.0.lock().unwrap_or_else(|e| e.into_inner()) = now_ms;
    }

    /// Moves the clock forward.
    pub fn advance(&self, by_ms: Millis) {
        *self.0.lock().unwrap_or_else(|e| e.into_inner()) += by_ms;
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> Millis {
        *self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Reproducible bytes from a seed (splitmix64): for simulations and invented data, never for keys in service.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<u64>);

impl SeededEntropy {
    /// The sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    /// The next 64 bits.
    pub fn next_u64(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(|e| e.into_inner());
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    /// True in `percent` of 100 draws.
    pub fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let next = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&next[..chunk.len()]);
        }
    }
}
