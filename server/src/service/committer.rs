//! Group commit: one fsync serves many pushes.
//!
//! Pushes that arrive while a commit is under way queue up and share the next one. The simulation commits inline.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use super::Refused;
use crate::storage::{Committed, PreparedPush, Storage, StorageError};

/// Pushes that may wait for a commit before new ones are told to come later.
const QUEUE_MAX: usize = 256;
/// Pushes that share one commit.
const GROUP_MAX: usize = 128;

type Answer = SyncSender<Result<Committed, StorageError>>;

/// Commits prepared pushes.
#[derive(Clone)]
pub enum Committer {
    /// On the caller's thread, one by one.
    Inline,
    /// On one thread of its own, in groups.
    Grouped(SyncSender<(PreparedPush, Answer)>),
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
                sender.try_send((push, answer)).map_err(|e| match e {
                    TrySendError::Full(_) | TrySendError::Disconnected(_) => Refused::Busy,
                })?;
                Ok(wait.recv().map_err(|_| Refused::Busy)??)
            }
        }
    }
}

fn run(storage: &dyn Storage, receiver: &Receiver<(PreparedPush, Answer)>) {
    while let Ok(first) = receiver.recv() {
        let (mut pushes, mut answers) = (vec![first.0], vec![first.1]);
        while pushes.len() < GROUP_MAX {
            let Ok((push, answer)) = receiver.try_recv() else { break };
            pushes.push(push);
            answers.push(answer);
        }
        match storage.commit_group(&pushes) {
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
}
