//! The server's process: starts, stops, dies, is backed up and brought back as it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use doorstep_core::clock::{ManualClock, SeededEntropy};
use doorstep_core::id::DeviceId;
use doorstep_server::service::{Committer, Service};
use doorstep_server::storage::{READS_CLOSED, SqliteStorage, Storage, sqlite};

use super::outcome::{Counts, Failure, count};

/// The server's machine.
pub struct Server {
    dir: PathBuf,
    /// Its clock.
    pub clock: Arc<ManualClock>,
    entropy: Arc<SeededEntropy>,
    service: Option<Arc<Service>>,
    /// The largest counter that this process has seen of each device.
    pub seen: BTreeMap<DeviceId, u64>,
    backups: Vec<PathBuf>,
    backups_made: u64,
    /// What the processes before this one counted.
    totals: Counts,
}

impl Server {
    /// A machine with a running server.
    pub fn new(dir: &Path, clock: Arc<ManualClock>, entropy: Arc<SeededEntropy>) -> Result<Self, Failure> {
        std::fs::create_dir_all(dir)?;
        let mut server = Self {
            dir: dir.to_owned(),
            clock,
            entropy,
            service: None,
            seen: BTreeMap::new(),
            backups: Vec::new(),
            backups_made: 0,
            totals: Counts::new(),
        };
        server.start()?;
        Ok(server)
    }

    fn database(&self) -> PathBuf {
        self.dir.join("server.db")
    }

    /// The running process.
    pub fn service(&self) -> Option<&Arc<Service>> {
        self.service.as_ref()
    }

    /// The running process; an error when there is none.
    pub fn up(&self) -> Result<Arc<Service>, Failure> {
        self.service.clone().ok_or_else(|| Failure::broken("simulation", "the server is down"))
    }

    /// Starts a process, if none runs.
    pub fn start(&mut self) -> Result<(), Failure> {
        if self.service.is_none() {
            let storage: Arc<dyn Storage> = Arc::new(SqliteStorage::open(&self.database())?);
            let service = Service::open(storage, self.clock.clone(), self.entropy.clone(), Committer::Inline)?;
            self.service = Some(service);
            self.seen.clear();
        }
        Ok(())
    }

    /// The process is gone, with all it held in memory.
    pub fn stop(&mut self) {
        let counts = self.running_counts();
        for (name, n) in counts {
            count(&mut self.totals, &name, n);
        }
        self.service = None;
    }

    /// Copies the database.
    pub fn back_up(&mut self) -> Result<(), Failure> {
        let to = self.dir.join(format!("backup-{}.db", self.backups_made));
        self.up()?.storage.backup(&to)?;
        self.backups_made += 1;
        self.backups.push(to);
        Ok(())
    }

    /// How many copies there are.
    pub fn backups(&self) -> usize {
        self.backups.len()
    }

    /// Goes back to a copy; reading stays closed.
    pub fn rewind(&mut self, which: usize) -> Result<(), Failure> {
        self.stop();
        if let Some(aside) = sqlite::restore(&self.backups[which], &self.database())? {
            for end in ["", "-wal", "-shm"] {
                let mut name = aside.clone().into_os_string();
                name.push(end);
                // the part may not exist
                let _ = std::fs::remove_file(name);
            }
        }
        self.start()
    }

    /// An administrator has looked at the restored server.
    pub fn open_reads(&self) -> Result<bool, Failure> {
        let service = self.up()?;
        let closed = service.reads_closed()?;
        if closed {
            service.storage.set_setting(READS_CLOSED, "0")?;
        }
        Ok(closed)
    }

    /// All that was counted, over all processes.
    pub fn counts(&self) -> Counts {
        let mut all = self.totals.clone();
        for (name, n) in self.running_counts() {
            count(&mut all, &name, n);
        }
        all
    }

    fn running_counts(&self) -> Counts {
        let Some(service) = &self.service else { return Counts::new() };
        let m = &service.metrics;
        [
            ("batches", &m.batches),
            ("stored", &m.changes_stored),
            ("known", &m.changes_known),
            ("waiting", &m.changes_waiting),
            ("quarantined", &m.changes_quarantined),
            ("equivocation", &m.changes_equivocation),
            ("rewound", &m.rewinds),
            ("refilled", &m.changes_refilled),
            ("diverged", &m.diverged),
            ("resumable upload", &m.uploads_cut),
        ]
        .into_iter()
        .map(|(name, n)| (name.to_owned(), n.load(Ordering::Relaxed)))
        .collect()
    }
}
