//! What stands between bytes from elsewhere and automerge.
//!
//! Steps: a bounded scan; decoding, contained; the meaning of every operation against the record; applying to a copy,
//! contained; comparing what automerge stored with what came. Each step assumes those before it.

use std::collections::HashSet;

use automerge::legacy::{Key, ObjectId, Op, OpType};
use automerge::{Automerge, Change, ExpandedChange, ObjId, ReadDoc};

use crate::id::{ActorId, ChangeHash};

use super::contain::contain;
use super::genesis::Genesis;
use super::refusal::Refusal;
use super::{Accepted, ChangeNote, Edit, Record, Section, Value, key, limits, prescan};

/// An operation id: counter and actor.
pub(super) type OpKey = (u64, automerge::ActorId);

/// All steps before applying: gives the change, to be applied unless it is known already.
pub(super) fn check(record: &Record, raw: &[u8]) -> Result<(Change, Accepted), Refusal> {
    let hash = ChangeHash(prescan::change(raw)?);
    let (change, decoded) = decode(raw)?;
    if change.hash().0 != hash.0 {
        return Err(Refusal::NotCanonical);
    }
    let mut accepted = describe(&change, hash)?;
    if record.contains(&hash) {
        accepted.already_known = true;
        return Ok((change, accepted));
    }
    check_place(record, &change, &accepted)?;
    contain(|| check_operations(record, &change, &decoded))?;
    Ok((change, accepted))
}

/// Decodes the scanned bytes.
fn decode(raw: &[u8]) -> Result<(Change, ExpandedChange), Refusal> {
    contain(|| {
        let change = Change::try_from(raw).map_err(|_| Refusal::Malformed)?;
        let decoded = change.decode();
        Ok((change, decoded))
    })
}

fn describe(change: &Change, hash: ChangeHash) -> Result<Accepted, Refusal> {
    let actor = ActorId::from_slice(change.actor_id().to_bytes()).ok_or(Refusal::ActorLength)?;
    let note: ChangeNote = change.message().and_then(|m| m.parse().ok()).ok_or(Refusal::Message)?;
    Ok(Accepted { hash, already_known: false, actor, seq: change.seq(), claimed_s: change.timestamp(), note })
}

/// Checks sequence, dependencies and start counter.
fn check_place(record: &Record, change: &Change, accepted: &Accepted) -> Result<(), Refusal> {
    if *change.actor_id() == record.genesis.actor {
        return Err(Refusal::GenesisActor);
    }
    let last = record.last.get(&accepted.actor).copied();
    if last.is_some_and(|(seq, _)| accepted.seq <= seq) {
        return Err(Refusal::Equivocation);
    }
    let missing = record.doc().get_missing_deps(change.deps());
    if !missing.is_empty() {
        return Err(Refusal::MissingDependencies(missing.into_iter().map(|h| ChangeHash(h.0)).collect()));
    }
    if change.deps().is_empty() {
        return Err(Refusal::UnknownObject);
    }
    if accepted.seq != last.map_or(0, |(seq, _)| seq) + 1 {
        return Err(Refusal::Sequence);
    }
    let highest = change.deps().iter().filter_map(|h| record.doc().get_change_meta_by_hash(h)).map(|m| m.max_op).max();
    if change.start_op().get() != highest.unwrap_or(0) + 1 {
        return Err(Refusal::StartOp);
    }
    match last {
        Some((_, own)) if !is_in_past(record, change.deps(), own) => Err(Refusal::OwnChangeNotInPast),
        _ => Ok(()),
    }
}

/// True when `wanted` is among `heads` or their ancestors.
pub(super) fn is_in_past(record: &Record, heads: &[automerge::ChangeHash], wanted: ChangeHash) -> bool {
    let wanted = automerge::ChangeHash(wanted.0);
    if heads.contains(&wanted) || heads == record.doc().get_heads() {
        return true;
    }
    let mut todo = heads.to_vec();
    let mut seen: HashSet<automerge::ChangeHash> = todo.iter().copied().collect();
    while let Some(hash) = todo.pop() {
        if hash == wanted {
            return true;
        }
        let deps = record.doc().get_change_meta_by_hash(&hash).map(|m| m.deps).unwrap_or_default();
        todo.extend(deps.into_iter().filter(|d| seen.insert(*d)));
    }
    false
}

/// Checks every operation: only puts of allowed values under allowed keys of the three maps, replacing exactly what is visible.
fn check_operations(record: &Record, change: &Change, decoded: &ExpandedChange) -> Result<(), Refusal> {
    let count = decoded.operations.len();
    if count == 0 || count as u64 > limits::OPERATIONS {
        return Err(Refusal::TooManyOperations);
    }
    let mut deps = change.deps().to_vec();
    deps.sort_unstable();
    let at = if deps == record.doc().get_heads() { None } else { Some(deps.as_slice()) };
    let only_genesis = deps.len() == 1 && deps[0].0 == record.genesis.hash.0;
    let mut written = HashSet::with_capacity(count);
    for op in &decoded.operations {
        let (section, key, _) = static_check(record, op)?;
        if !written.insert((section, key)) {
            return Err(Refusal::ForbiddenKey);
        }
        let pred = op.pred.iter();
        if only_genesis {
            if pred.len() > 0 {
                return Err(Refusal::Predecessors);
            }
            continue;
        }
        let mut visible = visible(record, section, key, at)?;
        if section == Section::Events && !visible.is_empty() {
            return Err(Refusal::ForbiddenKey);
        }
        let mut pred: Vec<OpKey> = pred.map(|id| (id.0, id.1.clone())).collect();
        pred.sort_unstable();
        visible.sort_unstable();
        if pred != visible {
            return Err(Refusal::Predecessors);
        }
    }
    Ok(())
}

fn visible(
    record: &Record,
    section: Section,
    key: &str,
    at: Option<&[automerge::ChangeHash]>,
) -> Result<Vec<OpKey>, Refusal> {
    let map = record.genesis.map(section);
    let values = match at {
        None => record.doc().get_all(map, key),
        Some(heads) => record.doc().get_all_at(map, key, heads),
    };
    let values = values.map_err(|_| Refusal::UnknownObject)?;
    Ok(values.into_iter().filter_map(|(_, id)| op_key(&id)).collect())
}

pub(super) fn op_key(id: &ObjId) -> Option<OpKey> {
    match id {
        ObjId::Id(counter, actor, _) => Some((*counter, actor.clone())),
        ObjId::Root => None,
    }
}

/// What can be checked of an operation without the state of the record.
pub(super) fn static_check<'a>(record: &Record, op: &'a Op) -> Result<(Section, &'a str, Value), Refusal> {
    let OpType::Put(scalar) = &op.action else { return Err(Refusal::ForbiddenOperation) };
    let (Key::Map(key), false) = (&op.key, op.insert) else { return Err(Refusal::ForbiddenOperation) };
    let section = match &op.obj {
        ObjectId::Id(id) if id.1 == record.genesis.actor => Genesis::section(id.0),
        _ => None,
    };
    let section = section.ok_or(Refusal::UnknownObject)?;
    let value = Value::from_scalar(scalar).ok_or(Refusal::ForbiddenValue)?;
    match key::check(section, key, &value) {
        Ok(()) => Ok((section, key, value)),
        Err(key::Fault::Key) => Err(Refusal::ForbiddenKey),
        Err(key::Fault::Value) => Err(Refusal::ForbiddenValue),
    }
}

/// Applies to a document of its own and compares what automerge stored: other bytes mean that the change wasn't canonical.
pub(super) fn apply(mut doc: Automerge, change: Change, raw: &[u8]) -> Result<Automerge, Refusal> {
    contain(|| {
        let hash = change.hash();
        doc.apply_changes([change]).map_err(|_| Refusal::Refused)?;
        let stored = doc.get_change_by_hash(&hash).ok_or(Refusal::Refused)?;
        if stored.raw_bytes() == raw { Ok(doc) } else { Err(Refusal::NotCanonical) }
    })
}

/// The edits of a decoded change.
pub(super) fn edits(record: &Record, decoded: &ExpandedChange) -> Vec<Edit> {
    decoded
        .operations
        .iter()
        .filter_map(|op| static_check(record, op).ok())
        .map(|(section, key, value)| Edit { section, key: key.to_owned(), value })
        .collect()
}
