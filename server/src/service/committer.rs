//! Group commit: one fsync serves many pushes.
//!
//! Pushes that arrive while a commit is under way queue up and share the next one. The simulation commits inline.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use doorstep_core::clock::Millis;
use doorstep_core::id::DeviceId;

use super::Refused;
use crate::storage::{Committed, PreparedPush, Storage, StorageError};

/// Pushes that may wait for a commit before new ones are told to come later.
const QUEUE_MAX: usize = 256;
/// Pushes that share one commit.
const GROUP_MAX: usize = 128;

type Answer = SyncSender<Result<Committed, StorageError>>;

/// Work for the committing thread.
pub enum Job {
    /// A push, and who waits for it.
    Push(Box<PreparedPush>, Answer),
    /// A sync to be noted some time.
    Note(SyncNote),
}

/// That a device synced.
#[derive(Debug, Clone, Copy)]
pub struct SyncNote {
    /// Which.
    pub device: DeviceId,
    /// Its hello counter.
    pub counter: u64,
    /// When.
    pub now_ms: Millis,
    /// How far it has read.
    pub feed_seq: u64,
}

/// Commits prepared pushes.
#[derive(Clone)]
pub enum Committer {
    /// On the caller's thread, one by one.
    Inline,
    /// On one thread of its own, in groups.
    Grouped(SyncSender<Job>),
}

impl Committer {
    /// Starts the committing thread. It ends when the last handle is dropped.
    pub fn grouped(storage: Arc<dyn Storage>) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        std::thread::Builder::new().name("commit".into()).spawn(move || run(&*storage, &receiver))?;
        Ok(Self::Grouped(sender))
    }

    /// Commits a push and waits until it is durable.
    pub fn commit(&self, storage: &dyn Storage, push: PreparedPush) -> Result<Committed, Refused> {
        match self {
            Self::Inline => {
                let mut answers = storage.commit_group(&[push])?;
                Ok(answers.pop().ok_or(Refused::Busy)??)
            }
            Self::Grouped(sender) => {
                let (answer, wait) = sync_channel(1);
                sender.try_send(Job::Push(Box::new(push), answer)).map_err(|e| match e {
                    TrySendError::Full(_) | TrySendError::Disconnected(_) => Refused::Busy,
                })?;
                Ok(wait.recv().map_err(|_| Refused::Busy)??)
            }
        }
    }

    /// Notes a sync; nobody waits for it, and a full queue leaves it out.
    pub fn note(&self, storage: &dyn Storage, note: SyncNote) {
        match self {
            Self::Inline => write_note(storage, &note),
            Self::Grouped(sender) => drop(sender.try_send(Job::Note(note))),
        }
    }
}

fn write_note(storage: &dyn Storage, note: &SyncNote) {
    if let Err(error) = storage.note_sync(note.device, note.counter, note.now_ms, note.feed_seq) {
        tracing::warn!(error = &error as &dyn std::error::Error, "the time of a sync could not be noted");
    }
}

fn run(storage: &dyn Storage, receiver: &Receiver<Job>) {
    while let Ok(first) = receiver.recv() {
        let (mut pushes, mut answers, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        let mut take = |job| match job {
            Job::Push(push, answer) => {
                pushes.push(*push);
                answers.push(answer);
            }
            Job::Note(note) => notes.push(note),
        };
        take(first);
        for _ in 1..GROUP_MAX {
            let Ok(job) = receiver.try_recv() else { break };
            take(job);
        }
        if !pushes.is_empty() {
            commit_group(storage, &pushes, answers);
        }
        notes.iter().for_each(|note| write_note(storage, note));
    }
}

fn commit_group(storage: &dyn Storage, pushes: &[PreparedPush], answers: Vec<Answer>) {
    match storage.commit_group(pushes) {
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
