//! Form instances whose rules read several documents: those that a push changes, and beside them what is stored.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use doorstep_core::form::session::Rules;
use doorstep_core::form::{Form, Sensitivity};
use doorstep_core::id::RecordId;
use doorstep_core::record::Record;

use super::super::doubts::{self, Answers, Document, StoredPart, document_ids};
use super::Merge;
use crate::storage::{Beside, DoubtCheck, PreparedRecord, StorageError};

/// A merged record of such a form.
pub(super) struct Part {
    /// Which of the push's records it is.
    pub place: usize,
    pub form: Arc<Form>,
    pub rules: Arc<Rules>,
    pub record: Record,
    pub answers: Answers,
}

/// A form instance: its core record, and the form's record type.
type Instance = (RecordId, String);

impl Merge<'_> {
    /// Checks the instances that this push changed.
    pub(super) fn check_instances(&mut self) -> Result<(), StorageError> {
        let parts = std::mem::take(&mut self.parts);
        let Some(tenant_key) = self.tenant_key.clone().filter(|_| !parts.is_empty()) else { return Ok(()) };
        let mut instances: BTreeMap<Instance, Vec<Part>> = BTreeMap::new();
        for part in parts {
            let PreparedRecord { id, identity, .. } = &self.push.records[part.place];
            let is_part = identity.record_type.contains('.');
            let core = identity.key.first().copied().filter(|_| is_part).unwrap_or(*id);
            instances.entry((core, part.form.record_type.clone())).or_default().push(part);
        }
        let changed: HashSet<RecordId> = self.push.records.iter().map(|r| r.id).collect();
        let mut beside: Vec<(&Instance, Sensitivity, RecordId)> = Vec::new();
        for (instance, parts) in &instances {
            let all = parts.first().map(|part| document_ids(&part.rules, instance.0, &tenant_key)).unwrap_or_default();
            let others = all.into_iter().filter(|(_, id)| !changed.contains(id));
            beside.extend(others.map(|(class, id)| (instance, class, id)));
        }
        let ids: Vec<RecordId> = beside.iter().map(|(_, _, id)| *id).collect();
        let stored = if ids.is_empty() { Vec::new() } else { self.storage.load_records(self.push.township, &ids)? };
        let mut opened: HashMap<Instance, Vec<StoredPart>> = HashMap::new();
        for ((instance, class, id), stored) in beside.into_iter().zip(stored) {
            let Some(part) = instances.get(instance).and_then(|parts| parts.first()) else { continue };
            opened.entry(instance.clone()).or_default().extend(StoredPart::open(&part.form, (class, id), stored));
        }
        for (instance, parts) in instances {
            self.check_instance(&parts, &opened.remove(&instance).unwrap_or_default());
        }
        Ok(())
    }

    fn check_instance(&mut self, parts: &[Part], stored: &[StoredPart]) {
        let Some(first) = parts.first() else { return };
        let class_at = |place: usize| doubts::class_of(&self.push.records[place].identity.record_type);
        let changed =
            parts.iter().map(|p| Document { class: class_at(p.place), record: &p.record, answers: &p.answers });
        let documents: Vec<Document<'_>> = changed.chain(stored.iter().filter_map(StoredPart::document)).collect();
        let mut found = doubts::find(&self.forms, &first.form, &documents).into_iter();
        for part in parts {
            self.push.records[part.place].check.found.extend(found.next().unwrap_or_default());
        }
        for part in stored {
            let found = part.document().and_then(|_| found.next()).unwrap_or_default();
            let check = DoubtCheck { before: part.doubts, found, date_judged: false };
            self.push.beside.push(Beside { id: part.id, heads: part.heads.clone(), check });
        }
    }
}
