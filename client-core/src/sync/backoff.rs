//! Waiting between tries: full jitter, as AWS's "Exponential Backoff And Jitter" describes it.

use std::time::Duration;

use crate::clock::{Entropy, random};

/// Doubles up to a limit; each wait is a random part of it.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    tries: u32,
}

impl Backoff {
    /// Waits of up to `base`, then twice that, and so on to `max`.
    pub fn new(base: Duration, max: Duration) -> Self {
        Self { base, max, tries: 0 }
    }

    /// The next wait: between 0 and the current limit, and at least what the server asked for.
    pub fn next_wait(&mut self, at_least: Duration, entropy: &dyn Entropy) -> Duration {
        let limit = self.base.saturating_mul(1 << self.tries.min(16)).min(self.max);
        self.tries += 1;
        let part = u32::from_be_bytes(random(entropy));
        at_least + limit.mul_f64(f64::from(part) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SeededEntropy;

    #[test]
    fn waits_grow_stay_under_the_limit_and_respect_the_server() {
        let entropy = SeededEntropy::new(1);
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let waits: Vec<Duration> = (0..40).map(|_| backoff.next_wait(Duration::from_secs(5), &entropy)).collect();
        assert!(waits.iter().all(|w| *w >= Duration::from_secs(5) && *w <= Duration::from_secs(65)));
        assert!(waits[0] <= Duration::from_secs(6));
        assert!(waits.iter().any(|w| *w > Duration::from_secs(20)), "later waits are longer");
    }
}
