//! Wrong invitation codes, counted by the address that they come from, within bounds.
//!
//! A township often shares one address, so that no number of wrong codes shuts an address out: a right code always enrols.
//! After too many wrong ones, an address is only slowed down: so many codes a second are looked up, the others are told to
//! come again. A code has 128 random bits; at this pace guessing one of 2,000 open invitations in their seven days has a
//! chance below 2^-90.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use doorstep_core::clock::Millis;

/// Wrong codes of one address before it is slowed down ...
const WRONG_FREE: f64 = 60.0;
/// ... and how many of them are forgiven in a second.
const FORGIVEN_A_SECOND: f64 = 0.1;
/// Codes a second that are looked up for an address that is slowed down.
const SLOW_A_SECOND: f64 = 5.0;
/// Codes a second that are looked up for everybody together, and how many at once.
const ALL_A_SECOND: f64 = 100.0;
/// See [`ALL_A_SECOND`].
const ALL_AT_ONCE: f64 = 500.0;
/// Addresses that are remembered; the one that was silent longest goes first.
const ADDRESSES_MAX: usize = 4_096;
/// Seconds to wait for those who are told to.
pub const WAIT_S: u32 = 5;

/// A bucket that fills up with time: what is left of a budget.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at_ms: Millis,
}

impl Bucket {
    fn full(size: f64, now_ms: Millis) -> Self {
        Self { left: size, at_ms: now_ms }
    }

    fn refill(&mut self, a_second: f64, size: f64, now_ms: Millis) {
        let passed = now_ms.saturating_sub(self.at_ms) as f64 / 1000.0;
        self.left = (self.left + passed * a_second).min(size);
        self.at_ms = self.at_ms.max(now_ms);
    }

    fn take(&mut self) -> bool {
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

#[derive(Debug, Clone, Copy)]
struct Known {
    wrong: Bucket,
    slow: Bucket,
}

/// What was tried lately.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    all: Option<Bucket>,
    addresses: HashMap<IpAddr, Known>,
}

/// IPv6 networks give each device more addresses than can be counted: the first 64 bits name the network.
fn counted(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.into(),
            None => {
                let [a, b, c, d, ..] = v6.segments();
                std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        },
    }
}

impl Attempts {
    /// Leave to look a code up; false: come again in [`WAIT_S`] seconds.
    pub fn may_try(&self, address: IpAddr, now_ms: Millis) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { all, addresses } = &mut *state;
        if let Some(known) = addresses.get_mut(&counted(address)) {
            known.wrong.refill(FORGIVEN_A_SECOND, WRONG_FREE, now_ms);
            known.slow.refill(SLOW_A_SECOND, SLOW_A_SECOND, now_ms);
            if known.wrong.left < 1.0 && !known.slow.take() {
                return false;
            }
        }
        let all = all.get_or_insert(Bucket::full(ALL_AT_ONCE, now_ms));
        all.refill(ALL_A_SECOND, ALL_AT_ONCE, now_ms);
        all.take()
    }

    /// Notes a code that was no invitation's.
    pub fn was_wrong(&self, address: IpAddr, now_ms: Millis) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let addresses = &mut state.addresses;
        let address = counted(address);
        if addresses.len() >= ADDRESSES_MAX && !addresses.contains_key(&address) {
            let oldest = addresses.iter().min_by_key(|(_, known)| known.wrong.at_ms).map(|(address, _)| *address);
            oldest.map(|oldest| addresses.remove(&oldest));
        }
        let known = addresses
            .entry(address)
            .or_insert(Known { wrong: Bucket::full(WRONG_FREE, now_ms), slow: Bucket::full(SLOW_A_SECOND, now_ms) });
        known.wrong.refill(FORGIVEN_A_SECOND, WRONG_FREE, now_ms);
        known.wrong.left = (known.wrong.left - 1.0).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn tries(attempts: &Attempts, address: IpAddr, count: u32, now_ms: Millis) -> usize {
        let one = |_: &u32| {
            let may = attempts.may_try(address, now_ms);
            if may {
                attempts.was_wrong(address, now_ms);
            }
            may
        };
        (0..count).filter(one).count()
    }

    #[test]
    fn an_address_is_slowed_after_many_wrong_codes_and_never_shut_out() {
        let attempts = Attempts::default();
        assert_eq!(tries(&attempts, HOME, 200, 1_000), 65);
        assert_eq!(tries(&attempts, OTHER, 10, 1_000), 10, "another address goes on");
        assert!(!attempts.may_try(HOME, 1_000));
        assert_eq!(tries(&attempts, HOME, 200, 2_000), 5, "a few a second are still looked up");
        assert_eq!(tries(&attempts, HOME, 200, 602_000), 65, "and wrong ones are forgiven with time");
    }

    #[test]
    fn right_codes_of_a_whole_township_at_one_address_are_not_slowed() {
        let attempts = Attempts::default();
        assert_eq!((0..400).filter(|_| attempts.may_try(HOME, 1_000)).count(), 400);
    }

    #[test]
    fn all_addresses_together_are_bounded_and_so_is_what_is_remembered() {
        let attempts = Attempts::default();
        let address = |n: u32| IpAddr::V4(std::net::Ipv4Addr::from_bits(n));
        let passed = (0..10_000).filter(|n| tries(&attempts, address(*n), 1, 1_000) == 1).count();
        assert_eq!(passed, ALL_AT_ONCE as usize);
        (0..10_000).for_each(|n| attempts.was_wrong(address(n), 1_000 + u64::from(n)));
        assert_eq!(attempts.0.lock().unwrap_or_else(PoisonError::into_inner).addresses.len(), ADDRESSES_MAX);
    }

    #[test]
    fn a_network_with_many_addresses_is_one() {
        let attempts = Attempts::default();
        let address = |n: u16| IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, n));
        let passed = (0..200).filter(|n| tries(&attempts, address(*n), 1, 1_000) == 1).count();
        assert_eq!(passed, 65);
    }
}
