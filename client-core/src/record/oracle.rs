//! What automerge makes of a record's changes: documents for snapshots, and the comparison with our own state.

use automerge::{Automerge, Change, ROOT, ReadDoc};

use crate::id::ActorId;

use super::contain::contain;
use super::state::OpKey;
use super::{Record, Refusal, Section, Value};

impl Record {
    /// The record as a document of automerge's.
    pub(super) fn document(&self) -> Result<Automerge, Refusal> {
        contain(|| {
            let raw = self.state.changes().iter().map(|change| &*change.raw);
            let changes: Result<Vec<Change>, _> =
                std::iter::once(self.genesis.raw.as_slice()).chain(raw).map(Change::try_from).collect();
            let mut doc = Automerge::new();
            doc.apply_changes(changes.map_err(|_| Refusal::Malformed)?).map_err(|_| Refusal::Refused)?;
            Ok(doc)
        })
    }

    /// Checks that automerge stores the newest change as it came, and that it can save, load and show the record as we do.
    pub(super) fn check_with_automerge(&self) -> Result<(), Refusal> {
        let doc = self.document()?;
        contain(|| {
            if let Some(newest) = self.state.changes().last() {
                let stored = doc.get_change_by_hash(&automerge::ChangeHash(newest.hash.0)).ok_or(Refusal::Refused)?;
                if stored.raw_bytes() != &*newest.raw {
                    return Err(Refusal::NotCanonical);
                }
            }
            let loaded = Automerge::load(&doc.save_nocompress()).map_err(|_| Refusal::Snapshot)?;
            let heads: Vec<_> = loaded.get_heads().into_iter().map(|head| head.0).collect();
            let same_heads = self.state.heads().iter().map(|head| head.0).eq(heads);
            if same_heads && visible_in(&loaded)? == self.visible_values() { Ok(()) } else { Err(Refusal::Snapshot) }
        })
    }

    fn visible_values(&self) -> Vec<Visible> {
        let mut all = Vec::new();
        for (section, _) in MAPS {
            for (key, puts) in self.state.puts(section) {
                let visible = self.state.visible_of(puts, None);
                let values = visible.iter().map(|put| (self.state.id(put), put.value.clone()));
                all.push((section, key.to_owned(), values.collect()));
            }
        }
        all
    }
}

const MAPS: [(Section, &str); 3] =
    [(Section::Answers, "answers"), (Section::Events, "events"), (Section::Files, "files")];

/// A key with its visible values, the first one first.
type Visible = (Section, String, Vec<(OpKey, Value)>);

fn visible_in(doc: &Automerge) -> Result<Vec<Visible>, Refusal> {
    let mut all = Vec::new();
    for (section, name) in MAPS {
        let (_, map) = doc.get(ROOT, name).ok().flatten().ok_or(Refusal::Snapshot)?;
        for item in doc.map_range(&map, ..) {
            let mut values = Vec::new();
            for (value, id) in doc.get_all(&map, item.key.as_ref()).map_err(|_| Refusal::Snapshot)? {
                let automerge::ObjId::Id(counter, actor, _) = &id else { return Err(Refusal::Snapshot) };
                let actor = ActorId::from_slice(actor.to_bytes()).ok_or(Refusal::ActorLength)?;
                let value = value.as_scalar().and_then(Value::from_scalar).ok_or(Refusal::ForbiddenValue)?;
                values.push(((*counter, actor), value));
            }
            values.reverse();
            // what every reader of the document sees first
            let first = doc.get(&map, item.key.as_ref()).ok().flatten();
            let first = first.and_then(|(value, _)| value.as_scalar().and_then(Value::from_scalar));
            if first.as_ref() != values.first().map(|(_, value)| value) {
                return Err(Refusal::Snapshot);
            }
            all.push((section, item.key.to_string(), values));
        }
    }
    Ok(all)
}
