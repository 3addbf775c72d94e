//! Group commit: one fsync serves many pushes.
//!
//! Pushes that arrive while a commit is under way queue up and share the next one. The simulation commits inline.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
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
            Self::Inline => write_notes(storage, &[note]),
            Self::Grouped(sender) => drop(sender.try_send(Job::Note(note))),
        }
    }
}

fn write_notes(storage: &dyn Storage, notes: &[SyncNote]) {
    if let Err(error) = storage.commit(&[], notes) {
        tracing::warn!(error = &error as &dyn std::error::Error, "the time of a sync could not be noted");
    }
}

fn run(storage: &dyn Storage, receiver: &Receiver<Job>) {
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
            commit_group(storage, &pushes, &notes, answers);
            notes.clear();
        } else if !notes.is_empty() && (waited || notes.len() >= GROUP_MAX) {
            write_notes(storage, &notes);
            notes.clear();
        }
        if over {
            return;
        }
    }
}

fn commit_group(storage: &dyn Storage, pushes: &[PreparedPush], notes: &[SyncNote], answers: Vec<Answer>) {
    match storage.commit(pushes, notes) {
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
