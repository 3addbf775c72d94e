//! What stands between bytes from elsewhere and a record.
//!
//! Steps: a bounded scan; decoding, contained; the place in the history; the meaning of every operation against the record;
//! encoding again, which has to give the same bytes. Each step assumes those before it, and only then the record changes.

use std::collections::HashSet;

use automerge::legacy::{Key, ObjectId, Op, OpType};
use automerge::{Change, ExpandedChange};

use crate::id::{ActorId, ChangeHash};

use super::contain::contain;
use super::genesis::Genesis;
use super::refusal::Refusal;
use super::state::{Known, OpKey, Operation};
use super::{ChangeNote, Record, Section, Value, key, limits, prescan};

/// What came of checking a change.
pub(super) enum Checked {
    /// The record has it.
    Known(ChangeHash),
    /// It can be inserted.
    New(Known, Vec<Operation>),
}

/// All steps.
pub(super) fn check(record: &Record, raw: &[u8]) -> Result<Checked, Refusal> {
    let hash = ChangeHash(prescan::change(raw)?);
    if record.contains(&hash) {
        return Ok(Checked::Known(hash));
    }
    let (change, decoded) = contain(|| {
        let change = Change::try_from(raw).map_err(|_| Refusal::Malformed)?;
        Ok((describe(&change)?, change.decode()))
    })?;
    if change.hash != hash {
        return Err(Refusal::NotCanonical);
    }
    check_place(record, &change)?;
    let operations = operations(record, &decoded)?;
    check_operations(record, &change, &operations)?;
    // other bytes than automerge itself would write change their hash as soon as it stores them
    let again = contain(|| Ok(Change::from(decoded)))?;
    if again.raw_bytes() == raw { Ok(Checked::New(change, operations)) } else { Err(Refusal::NotCanonical) }
}

/// Reads a change from the own storage, which passed the guard before.
pub(super) fn read_trusted(record: &Record, raw: &[u8]) -> Result<(Known, Vec<Operation>), Refusal> {
    contain(|| {
        let change = Change::try_from(raw).map_err(|_| Refusal::Malformed)?;
        Ok((describe(&change)?, operations(record, &change.decode())?))
    })
}

fn describe(change: &Change) -> Result<Known, Refusal> {
    let actor = ActorId::from_slice(change.actor_id().to_bytes()).ok_or(Refusal::ActorLength)?;
    let note: ChangeNote = change.message().and_then(|m| m.parse().ok()).ok_or(Refusal::Message)?;
    if change.is_empty() || change.len() as u64 > limits::OPERATIONS {
        return Err(Refusal::TooManyOperations);
    }
    Ok(Known {
        hash: ChangeHash(change.hash().0),
        actor,
        seq: change.seq(),
        start_op: change.start_op().get(),
        max_op: change.max_op(),
        claimed_s: change.timestamp(),
        note,
        deps: change.deps().iter().map(|dep| ChangeHash(dep.0)).collect(),
        raw: change.raw_bytes().into(),
    })
}

/// Checks sequence, dependencies and start counter.
fn check_place(record: &Record, change: &Known) -> Result<(), Refusal> {
    if change.actor.0[..] == *record.genesis.actor.to_bytes() {
        return Err(Refusal::GenesisActor);
    }
    let last = record.state.last_of(&change.actor);
    if last.is_some_and(|last| change.seq <= last.seq) {
        return Err(Refusal::Equivocation);
    }
    let missing: Vec<_> = change.deps.iter().filter(|dep| !record.contains(dep)).copied().collect();
    if !missing.is_empty() {
        return Err(Refusal::MissingDependencies(missing));
    }
    if change.deps.is_empty() {
        return Err(Refusal::UnknownObject);
    }
    if change.deps.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(Refusal::NotCanonical);
    }
    if change.seq != last.map_or(0, |last| last.seq) + 1 {
        return Err(Refusal::Sequence);
    }
    if change.start_op != record.highest(&change.deps) + 1 {
        return Err(Refusal::StartOp);
    }
    match last {
        Some(last) if !record.state.is_in_past(&change.deps, &last.hash) => Err(Refusal::OwnChangeNotInPast),
        _ => Ok(()),
    }
}

/// Checks every operation: only allowed values under allowed keys, each key once, replacing exactly what is visible.
fn check_operations(record: &Record, change: &Known, operations: &[Operation]) -> Result<(), Refusal> {
    let at = if change.deps == record.state.heads() { None } else { Some(record.state.past(&change.deps)) };
    let mut written = HashSet::with_capacity(operations.len());
    for operation in operations {
        match key::check(operation.section, &operation.key, &operation.value) {
            Ok(()) => (),
            Err(key::Fault::Key) => return Err(Refusal::ForbiddenKey),
            Err(key::Fault::Value) => return Err(Refusal::ForbiddenValue),
        }
        if !written.insert((operation.section, &operation.key)) {
            return Err(Refusal::ForbiddenKey);
        }
        let visible = record.state.visible(operation.section, &operation.key, at.as_ref());
        if operation.section == Section::Events && !visible.is_empty() {
            return Err(Refusal::ForbiddenKey);
        }
        if !visible.iter().rev().map(|put| record.state.id(put)).eq(operation.replaces.iter().copied()) {
            return Err(Refusal::Predecessors);
        }
    }
    Ok(())
}

/// What a decoded change puts: nothing else may be in it.
fn operations(record: &Record, decoded: &ExpandedChange) -> Result<Vec<Operation>, Refusal> {
    decoded.operations.iter().map(|op| operation(record, op)).collect()
}

fn operation(record: &Record, op: &Op) -> Result<Operation, Refusal> {
    let OpType::Put(scalar) = &op.action else { return Err(Refusal::ForbiddenOperation) };
    let (Key::Map(key), false) = (&op.key, op.insert) else { return Err(Refusal::ForbiddenOperation) };
    let section = match &op.obj {
        ObjectId::Id(id) if id.1 == record.genesis.actor => Genesis::section(id.0),
        _ => None,
    };
    let id = |id: &automerge::legacy::OpId| -> Option<OpKey> { Some((id.0, ActorId::from_slice(id.1.to_bytes())?)) };
    let mut replaces: Vec<OpKey> = op.pred.iter().map(id).collect::<Option<_>>().ok_or(Refusal::ActorLength)?;
    replaces.sort_unstable();
    Ok(Operation {
        section: section.ok_or(Refusal::UnknownObject)?,
        key: key.as_str().into(),
        value: Value::from_scalar(scalar).ok_or(Refusal::ForbiddenValue)?,
        replaces,
    })
}
