//! Crash points and switchable bugs, for the simulation only.
//!
//! A crash point is a place where a process may be killed. When the simulation arms one, reaching it unwinds with
//! [`Crash`]; the simulation catches that, drops the phone or server with all it holds and opens it again from its files.
//! A switchable bug is a mistake that the simulation must be able to find: it proves that the checks have teeth.
//! Without the feature `fault` both are empty functions that the compiler removes.

/// The payload of an armed crash point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash(pub &'static str);

#[cfg(feature = "fault")]
mod armed {
    use super::Crash;
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Plan {
        countdown: Option<u64>,
        next: Option<&'static str>,
        bugs: Vec<String>,
        hits: BTreeMap<&'static str, u64>,
        spare_pages: BTreeMap<&'static str, u32>,
    }

    static PLAN: Mutex<Option<Plan>> = Mutex::new(None);

    fn with<T>(f: impl FnOnce(&mut Plan) -> T) -> T {
        f(PLAN.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert_default())
    }

    /// Crashes at the `n`th crash point reached from now on (1 is the next); `None` disarms.
    pub fn arm(n: Option<u64>) {
        with(|plan| (plan.countdown, plan.next) = (n, None));
    }

    /// Crashes when this crash point is reached next; `None` disarms.
    pub fn arm_at(name: Option<&'static str>) {
        with(|plan| (plan.countdown, plan.next) = (None, name));
    }

    /// Fills the disk of `whose` databases (`phone` or `server`) up to so many pages; `None` gives room again.
    pub fn limit_pages(whose: &'static str, spare: Option<u32>) {
        with(|plan| match spare {
            Some(spare) => drop(plan.spare_pages.insert(whose, spare)),
            None => drop(plan.spare_pages.remove(whose)),
        });
    }

    /// By how many pages `whose` databases may still grow; `None`: no limit.
    pub fn spare_pages(whose: &'static str) -> Option<u32> {
        with(|plan| plan.spare_pages.get(whose).copied())
    }

    /// Switches a bug on.
    pub fn plant(bug: &str) {
        with(|plan| plan.bugs.push(bug.to_owned()));
    }

    /// How often each crash point was reached.
    pub fn hits() -> BTreeMap<&'static str, u64> {
        with(|plan| plan.hits.clone())
    }

    /// A place where the process may be killed.
    pub fn point(name: &'static str) {
        let crash = with(|plan| {
            *plan.hits.entry(name).or_default() += 1;
            if plan.next == Some(name) {
                plan.next = None;
                return true;
            }
            match plan.countdown.as_mut() {
                Some(1) => {
                    plan.countdown = None;
                    true
                }
                Some(n) => {
                    *n -= 1;
                    false
                }
                None => false,
            }
        });
        if crash {
            #[expect(clippy::panic, reason = "a crash is what the simulation asked for")]
            std::panic::panic_any(Crash(name));
        }
    }

    /// True when the bug is switched on.
    pub fn bug(name: &'static str) -> bool {
        with(|plan| plan.bugs.iter().any(|b| b == name))
    }
}

#[cfg(feature = "fault")]
pub use armed::{arm, arm_at, bug, hits, limit_pages, plant, point, spare_pages};

/// A place where the process may be killed: nothing, in this build.
#[cfg(not(feature = "fault"))]
#[inline(always)]
pub fn point(_name: &'static str) {}

/// No bug is ever switched on in this build.
#[cfg(not(feature = "fault"))]
#[inline(always)]
pub fn bug(_name: &'static str) -> bool {
    false
}

/// Disks have room, in this build.
#[cfg(not(feature = "fault"))]
#[inline(always)]
pub fn spare_pages(_whose: &'static str) -> Option<u32> {
    None
}
