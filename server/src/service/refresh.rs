//! What is computed of records, computed anew when a form's newest version says something else: list columns, search texts,
//! doubts. In pages, so that merges go on meanwhile; what a merge moved is left to that merge.

use std::sync::{Arc, Mutex, PoisonError};

use doorstep_core::form::session::Rules;
use doorstep_core::form::version::DefinitionBytes;
use doorstep_core::form::{Catalog, Form};
use doorstep_core::id::RecordId;

use super::doubts::{self, Document, StoredPart, document_ids};
use super::projection::project;
use super::{Service, merge};
use crate::storage::{
    DoubtCheck, Projection, RecordFilter, RecordRow, Refreshed, StorageError, StoredRecord, TownshipId,
};

/// Records that are read and written at once.
const PAGE: u32 = 200;
/// How records are projected and checked: to be raised when this program does it otherwise.
const METHOD: u32 = 2;
/// The classes' endings in record types.
const PARTS: [&str; 3] = ["", ".sensitive", ".office"];

/// The forms that all records were last looked through with, by this process.
#[derive(Default)]
pub(super) struct LastRefresh(Mutex<Option<Arc<Catalog>>>);

impl LastRefresh {
    fn is_new(&self, forms: &Arc<Catalog>) -> bool {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().is_none_or(|last| !Arc::ptr_eq(last, forms))
    }

    fn done(&self, forms: Arc<Catalog>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(forms);
    }
}

/// A record that was read.
struct Read {
    row: RecordRow,
    stored: StoredRecord,
}

impl Service {
    /// Looks whether records are to be computed anew, and does so; gives how many changed. Cheap when there is nothing to do.
    ///
    /// # Errors
    /// The database's. What was done stays done, and the rest is done the next time.
    pub fn refresh_records(&self) -> Result<usize, StorageError> {
        let forms = self.forms()?;
        let mut changed = 0;
        if !self.refreshed.is_new(&forms) {
            return Ok(0);
        }
        for form in forms.record_types().iter().filter_map(|name| forms.of_type(name)) {
            let (name, wanted) = (format!("refreshed/{}", form.record_type), fingerprint(&form));
            if self.storage.setting(&name)?.as_deref() == Some(&wanted) {
                continue;
            }
            for township in self.storage.townships()? {
                for part in PARTS {
                    changed += self.refresh_type(&forms, &form, township, part)?;
                }
            }
            self.storage.set_setting(&name, &wanted)?;
        }
        self.refreshed.done(forms);
        Ok(changed)
    }

    fn refresh_type(
        &self,
        forms: &Catalog,
        form: &Arc<Form>,
        township: TownshipId,
        part: &str,
    ) -> Result<usize, StorageError> {
        let record_type = Some(format!("{}{part}", form.record_type));
        let (mut after, mut changed) = (0, 0);
        loop {
            let filter = RecordFilter {
                record_type: record_type.clone(),
                elsewhere: true,
                after,
                limit: PAGE,
                ..RecordFilter::default()
            };
            let rows = self.storage.list_records(township, &filter)?;
            let Some(last) = rows.last() else { return Ok(changed) };
            after = last.born;
            let ids: Vec<RecordId> = rows.iter().map(|r| r.id).collect();
            let stored = self.storage.load_records(township, &ids)?;
            let read: Vec<Read> =
                rows.into_iter().zip(stored).filter_map(|(row, stored)| Some(Read { row, stored: stored? })).collect();
            let refreshed = self.computed(forms, form, township, &read)?;
            if !refreshed.is_empty() {
                changed += self.storage.refresh(township, &refreshed, self.clock.now_ms())?;
            }
        }
    }

    /// What is to be written of a page's records: those that come out otherwise.
    fn computed(
        &self,
        forms: &Catalog,
        form: &Arc<Form>,
        township: TownshipId,
        page: &[Read],
    ) -> Result<Vec<Refreshed>, StorageError> {
        let others = match doubts::mixed_rules(forms, form) {
            Some(rules) => self.other_parts(&rules, township, page)?,
            None => page.iter().map(|_| Vec::new()).collect(),
        };
        let mut refreshed = Vec::new();
        for (read, others) in page.iter().zip(others) {
            let Ok(record) = merge::open_record(&read.stored) else { continue };
            let (projection, answers) = project(&record, Some(form));
            let class = doubts::class_of(&read.row.record_type);
            let own = Document { class, record: &record, answers: &answers };
            let beside = others.iter().filter_map(StoredPart::document);
            let documents: Vec<Document<'_>> = std::iter::once(own).chain(beside).collect();
            let found = doubts::find(forms, form, &documents).into_iter().next().unwrap_or_default();
            let same = Projection { doubts: read.row.projection.doubts, ..projection.clone() };
            let check = DoubtCheck { before: read.stored.doubts, found, date_judged: false };
            if same != read.row.projection || !check.is_idle() {
                let heads = read.stored.heads.clone();
                let beside = others.iter().map(|part| (part.id, part.heads.clone())).collect();
                refreshed.push(Refreshed { id: read.row.id, heads, beside, projection, check });
            }
        }
        Ok(refreshed)
    }

    /// The other documents of each record's form instance.
    fn other_parts(
        &self,
        rules: &Rules,
        township: TownshipId,
        page: &[Read],
    ) -> Result<Vec<Vec<StoredPart>>, StorageError> {
        let key = self.tenant_key();
        let wanted = page.iter().enumerate().flat_map(|(place, read)| {
            let is_part = read.row.record_type.contains('.');
            let core = read.stored.identity.key.first().copied().filter(|_| is_part).unwrap_or(read.row.id);
            let all = document_ids(rules, core, &key).into_iter();
            all.filter(|(_, id)| *id != read.row.id).map(move |(class, id)| (place, class, id))
        });
        let wanted: Vec<_> = wanted.collect();
        let ids: Vec<RecordId> = wanted.iter().map(|(_, _, id)| *id).collect();
        let mut parts: Vec<Vec<StoredPart>> = page.iter().map(|_| Vec::new()).collect();
        for ((place, class, id), stored) in wanted.into_iter().zip(self.storage.load_records(township, &ids)?) {
            parts[place].extend(StoredPart::open(rules.model().form(), (class, id), stored));
        }
        Ok(parts)
    }
}

/// Tells apart whatever records of a form's type are computed from.
fn fingerprint(form: &Form) -> String {
    let hash = DefinitionBytes::of(form.def()).map(|bytes| bytes.hash());
    let hash = hash.map(|hash| data_encoding::HEXLOWER.encode(&hash)).unwrap_or_default();
    format!("{METHOD} {} {} {hash}", form.name, form.version)
}
