//! What the server counts, for `/metrics`. No label ever names a person, a device or a record.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident: $help:literal),* $(,)?) => {
        /// Counters since the process started.
        #[derive(Debug, Default)]
        pub struct Metrics { $($(#[$doc])* pub $name: AtomicU64,)* }

        impl Metrics {
            /// The counters in the text format of OpenMetrics' predecessor, which every collector reads.
            pub fn text(&self) -> String {
                let mut out = String::new();
                $(
                    out.push_str(concat!("# HELP doorstep_", stringify!($name), "_total ", $help, "\n# TYPE doorstep_",
                        stringify!($name), "_total counter\ndoorstep_", stringify!($name), "_total "));
                    out.push_str(&self.$name.load(Ordering::Relaxed).to_string());
                    out.push('\n');
                )*
                out
            }
        }
    };
}

counters! {
    /// Exchanges answered.
    syncs: "exchanges answered",
    /// Exchanges refused as a whole.
    refused_requests: "exchanges refused as a whole",
    /// Batches committed.
    batches: "batches committed",
    /// Changes stored.
    changes_stored: "changes stored",
    /// Changes known before.
    changes_known: "changes that were known before",
    /// Changes waiting for others.
    changes_waiting: "changes that wait for others",
    /// Changes quarantined.
    changes_quarantined: "changes quarantined",
    /// Changes of cloned or restored phones.
    changes_equivocation: "changes of cloned or restored phones",
    /// Pushes merged again because a record moved meanwhile.
    merges_repeated: "pushes merged again because a record moved meanwhile",
    /// Rewinds noticed.
    rewinds: "requests that showed the server to have gone back in time",
    /// Changes brought back by phones.
    changes_refilled: "changes brought back by phones",
    /// Phones whose scope digest differed.
    diverged: "phones whose scope digest differed",
    /// Uploads cut and staged.
    uploads_cut: "uploads cut and kept for resumption",
    /// Uploads refused as a whole and kept.
    uploads_refused: "uploads refused as a whole",
    /// Records sent to phones.
    records_sent: "records sent to phones",
    /// Panics contained.
    panics: "panics contained in a request",
}

/// Adds to a counter.
pub fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}
