//! Building what stays on a fresh root.

use doorstep_core::record::key::AnswerKey;
use doorstep_core::record::{Author, ChangeNote, Edit, Record, Section, Value, pieces};

use super::super::doubts::{self, Document, class_of};
use super::super::life::computed;
use super::super::office::{Office, WriteError};
use super::super::projection::project;
use super::super::{Refused, Service};
use super::find::{Doc, Found, Group, shown};
use super::{Answers, EraseError};
use crate::storage::{DoubtCheck, NewChange, PreparedRecord};

impl Service {
    /// The documents on their new roots.
    pub(super) fn rerooted(&self, office: &Office, found: &Found) -> Result<Vec<PreparedRecord>, EraseError> {
        let mut prepared = Vec::new();
        for group in &found.groups {
            let kept: Vec<Vec<Edit>> = group.docs.iter().map(|doc| kept(doc, &found.member)).collect();
            let edits = with_computed(found, group, kept);
            let mut fresh = Vec::new();
            for (doc, edits) in group.docs.iter().zip(edits) {
                fresh.push(write(office, doc, &edits)?);
            }
            prepared.extend(self.prepared(found, group, fresh));
        }
        Ok(prepared)
    }

    fn prepared(&self, found: &Found, group: &Group, fresh: Vec<(Record, Vec<NewChange>)>) -> Vec<PreparedRecord> {
        let form = group.form.as_ref();
        let projected: Vec<_> = fresh.iter().map(|(record, _)| project(record, form.map(|f| &**f))).collect();
        let documents: Vec<Document<'_>> = fresh
            .iter()
            .zip(&projected)
            .map(|((record, _), (_, answers))| Document {
                class: class_of(&record.identity().record_type),
                record,
                answers,
            })
            .collect();
        let mut doubts = match form {
            Some(form) => doubts::find(&found.forms, form, &documents),
            None => Vec::new(),
        };
        doubts.resize_with(fresh.len(), Default::default);
        let projections: Vec<_> = projected.iter().map(|(projection, _)| projection.clone()).collect();
        let all = group.docs.iter().zip(&fresh).zip(projections).zip(doubts);
        all.map(|(((doc, (record, changes)), projection), found)| PreparedRecord {
            id: doc.stored.id,
            identity: doc.stored.identity.clone(),
            incarnation: doc.stored.incarnation.saturating_add(1),
            area: doc.stored.area,
            subject: doc.stored.subject,
            base_heads: Some(doc.stored.heads.clone()),
            heads: record.heads(),
            changes: changes.clone(),
            projection,
            check: DoubtCheck { before: 0, found, date_judged: false },
        })
        .collect()
    }
}

/// What stays of a document. Of the person's instance the mark stays that it was removed, so that late edits don't bring half a
/// person back.
fn kept(doc: &Doc, member: &str) -> Vec<Edit> {
    let stays = |section: Section, key: &str| section != Section::Answers || !doc.erased.contains(key);
    let mut edits: Vec<Edit> = shown(&doc.record)
        .into_iter()
        .filter(|((section, key), _)| stays(*section, key))
        .map(|((section, key), value)| Edit { section, key, value })
        .collect();
    let removed: std::collections::BTreeSet<String> =
        doc.erased.iter().filter_map(|key| instance_of(key, member)).collect();
    edits.extend(removed.into_iter().map(|place| Edit::answer(format!("{place}/@deleted"), true)));
    if edits.is_empty() {
        // a root without any change could not be told to phones
        edits.extend(doc.erased.first().map(|key| Edit::answer(key.clone(), Value::Blank)));
    }
    edits
}

/// The place of the person's instance that a key stands in.
fn instance_of(key: &str, member: &str) -> Option<String> {
    let key = AnswerKey::parse(key)?;
    let at = key.instances.iter().position(|(_, id)| *id == member)?;
    let places: Vec<String> = key.instances.iter().take(at + 1).map(|(repeat, id)| format!("{repeat}#{id}")).collect();
    Some(places.join("/"))
}

/// Computes anew what the form computes of the other answers, where it stood before.
fn with_computed(found: &Found, group: &Group, mut edits: Vec<Vec<Edit>>) -> Vec<Vec<Edit>> {
    let Some(form) = &group.form else { return edits };
    let answers: Answers = edits
        .iter()
        .flatten()
        .filter(|edit| edit.section == Section::Answers)
        .map(|edit| (edit.key.clone(), edit.value.clone()))
        .collect();
    let computed = computed(&found.forms, form, &answers);
    for edit in edits.iter_mut().flatten().filter(|edit| edit.section == Section::Answers) {
        if let Some(value) = computed.get(&edit.key) {
            edit.value = value.clone();
        }
    }
    edits
}

fn write(office: &Office, doc: &Doc, edits: &[Edit]) -> Result<(Record, Vec<NewChange>), EraseError> {
    let (claimed_s, zone_minutes) = doc.record.written_last();
    let note = ChangeNote {
        form: doc.record.forms().into_iter().next_back().cloned(),
        zone_minutes,
        is_complete: doc.record.is_complete(),
        ..ChangeNote::by(office.user())
    };
    let author = Author { actor: office.actor(), note, claimed_s };
    let mut record = Record::new(doc.stored.identity.clone());
    let mut changes = Vec::new();
    for piece in pieces(edits) {
        let heads = record.heads();
        if let Some(raw) = record.edit(&heads, &author, piece).map_err(WriteError::from)? {
            changes.push(NewChange { hash: raw.hash, device: Some(office.device()), bytes: raw.bytes });
        }
    }
    if changes.is_empty() {
        return Err(WriteError::from(Refused::Busy).into());
    }
    Ok((record, changes))
}
