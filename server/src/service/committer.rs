//! Group commit: one fsync serves many pushes.
//!
//! Pushes that arrive while a commit is under way queue up and share the next one. The simulation commits inline.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Refused;
use crate::storage::{Committed, PreparedPush, Storage, StorageError, SyncNote};

/// Pushes that may wait for a commit before new ones are told to come later.
const QUEUE_MAX: usize = 256;
/// Pushes that share one commit.
const GROUP_MAX: usize = 128;
/// How long notes of syncs wait for a commit that takes them along.
const NOTES_WAIT: Duration = Duration::from_millis(100);

type Answer = SyncSender<Result<Committed, StorageError>>;
type Outcomes = Result<Vec<Result<Committed, StorageError>>, StorageError>;
/// What commits pushes and notes together.
type Commit = dyn Fn(&[PreparedPush], &[SyncNote]) -> Outcomes + Send;

/// Work for the committing thread.
pub enum Job {
    /// A push, and who waits for it.
    Push(Box<PreparedPush>, Answer),
    /// A sync to be noted some time.
    Note(SyncNote),
}

/// Commits prepared pushes.
#[derive(Clone)]
pub enum Committer {
    /// On the caller's thread, one by one.
    Inline,
    /// On one thread of its own, in groups.
    Grouped(Group),
}

/// The committing thread, as those who give it work see it.
#[derive(Clone)]
pub struct Group {
    jobs: SyncSender<Job>,
    /// Held by the thread while it lives.
    alive: Weak<()>,
}

impl Committer {
    /// Starts the committing thread. It ends when the last handle is dropped.
    pub fn grouped(storage: Arc<dyn Storage>) -> std::io::Result<Self> {
        Self::start(Box::new(move |pushes, notes| storage.commit(pushes, notes)))
    }

    fn start(commit: Box<Commit>) -> std::io::Result<Self> {
        let (jobs, receiver) = sync_channel(QUEUE_MAX);
        let life = Arc::new(());
        let alive = Arc::downgrade(&life);
        std::thread::Builder::new().name("commit".into()).spawn(move || {
            let _life = life;
            run(&*commit, &receiver);
        })?;
        Ok(Self::Grouped(Group { jobs, alive }))
    }

    /// False when the committing thread is gone: nothing can be stored any more.
    pub fn is_alive(&self) -> bool {
        match self {
            Self::Inline => true,
            Self::Grouped(group) => group.alive.strong_count() > 0,
        }
    }

    /// Commits a push and waits until it is durable.
    pub fn commit(&self, storage: &dyn Storage, push: PreparedPush) -> Result<Committed, Refused> {
        match self {
            Self::Inline => {
                let mut answers = storage.commit_group(&[push])?;
                Ok(answers.pop().ok_or(Refused::Busy)??)
            }
            Self::Grouped(Group { jobs, .. }) => {
                let (answer, wait) = sync_channel(1);
                jobs.try_send(Job::Push(Box::new(push), answer)).map_err(|e| match e {
                    TrySendError::Full(_) | TrySendError::Disconnected(_) => Refused::Busy,
                })?;
                Ok(wait.recv().map_err(|_| Refused::Busy)??)
            }
        }
    }

    /// Notes a sync; nobody waits for it, and a full queue leaves it out.
    pub fn note(&self, storage: &dyn Storage, note: SyncNote) {
        match self {
            Self::Inline => write_notes(&|pushes, notes| storage.commit(pushes, notes), &[note]),
            Self::Grouped(Group { jobs, .. }) => drop(jobs.try_send(Job::Note(note))),
        }
    }
}

/// A panic in a commit is that group's failure; the thread lives on. What was under way is rolled back.
fn contained(commit: &Commit, pushes: &[PreparedPush], notes: &[SyncNote]) -> Outcomes {
    let done = catch_unwind(AssertUnwindSafe(|| commit(pushes, notes)));
    done.unwrap_or_else(|_| Err(StorageError::Other("a commit panicked".into())))
}

fn write_notes(commit: &dyn Fn(&[PreparedPush], &[SyncNote]) -> Outcomes, notes: &[SyncNote]) {
    if let Err(error) = commit(&[], notes) {
        tracing::warn!(error = &error as &dyn std::error::Error, "the time of a sync could not be noted");
    }
}

fn run(commit: &Commit, receiver: &Receiver<Job>) {
    let mut notes = Vec::new();
    loop {
        let (mut pushes, mut answers) = (Vec::new(), Vec::new());
        let first = if notes.is_empty() {
            receiver.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            receiver.recv_timeout(NOTES_WAIT)
        };
        let (waited, over) = (first.is_err(), matches!(first, Err(RecvTimeoutError::Disconnected)));
        for job in first.into_iter().chain(receiver.try_iter()).take(GROUP_MAX) {
            match job {
                Job::Push(push, answer) => {
                    pushes.push(*push);
                    answers.push(answer);
                }
                Job::Note(note) => notes.push(note),
            }
        }
        if !pushes.is_empty() {
            commit_group(commit, &pushes, &notes, answers);
            notes.clear();
        } else if !notes.is_empty() && (waited || notes.len() >= GROUP_MAX) {
            write_notes(&|pushes, notes| contained(commit, pushes, notes), &notes);
            notes.clear();
        }
        if over {
            return;
        }
    }
}

fn commit_group(commit: &Commit, pushes: &[PreparedPush], notes: &[SyncNote], answers: Vec<Answer>) {
    match contained(commit, pushes, notes) {
        Ok(outcomes) => {
            for (outcome, answer) in outcomes.into_iter().zip(answers) {
                // a receiver that is gone has cut its connection; the commit stands
                let _ = answer.send(outcome);
            }
        }
        Err(StorageError::Full) => answers.into_iter().for_each(|a| drop(a.send(Err(StorageError::Full)))),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, pushes = pushes.len(), "group commit failed");
            for answer in answers {
                let _ = answer.send(Err(StorageError::Busy("the group's commit failed".into())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests stop at the first surprise")]

    use std::sync::atomic::{AtomicBool, Ordering};

    use doorstep_core::id::{AreaId, DeviceId};
    use doorstep_core::protocol::Position;

    use super::*;
    use crate::storage::SqliteStorage;

    fn push() -> PreparedPush {
        PreparedPush {
            township: AreaId([1; 16]),
            device: DeviceId([2; 16]),
            counter: 1,
            batch: None,
            received_ms: 1,
            records: Vec::new(),
            beside: Vec::new(),
            waiting: Vec::new(),
            settled: Vec::new(),
            quarantined: Vec::new(),
            moves: Vec::new(),
            areas_version: None,
            grants: Vec::new(),
            writes: Vec::new(),
            entries: Vec::new(),
            events: Vec::new(),
        }
    }

    #[test]
    fn a_commit_that_panics_refuses_its_own_group_only() {
        let dir = tempfile::TempDir::new().unwrap();
        let storage = SqliteStorage::open(&dir.path().join("doorstep.db")).unwrap();
        let panicked = AtomicBool::new(false);
        let committer = Committer::start(Box::new(move |pushes, _| {
            assert!(panicked.swap(true, Ordering::SeqCst), "the first commit panics");
            Ok(pushes.iter().map(|_| Ok(Committed::Done(Position::default()))).collect())
        }));
        let committer = committer.unwrap();
        assert!(committer.commit(&storage, push()).is_err());
        assert!(committer.is_alive());
        assert_eq!(committer.commit(&storage, push()).unwrap(), Committed::Done(Position::default()));
    }

    #[test]
    fn a_committing_thread_that_is_gone_is_seen() {
        let (jobs, _) = sync_channel(1);
        assert!(!Committer::Grouped(Group { jobs, alive: Weak::new() }).is_alive());
    }
}
