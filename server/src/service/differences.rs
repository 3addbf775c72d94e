//! Differing answers as a list: by area and question, with the values, people and times.

use doorstep_core::id::{AreaId, ChangeHash};
use doorstep_core::link::LINK_TYPE;
use doorstep_core::record::Record;
use serde_json::Value;

use super::view::{self, Circumstances, DifferenceEntry};
use super::{Service, merge};
use crate::limits;
use crate::storage::{RecordFilter, RecordRow, StorageError, TownshipId};

/// Records with differences that are looked through for one page, at most; the next page goes on after them.
const LOOKED_THROUGH: u32 = 1_000;

/// Which differences are listed.
#[derive(Debug, Clone, Default)]
pub struct DifferenceFilter {
    /// Only of records that lie here.
    pub area: Option<AreaId>,
    /// Only of this question, such as `status` or `member/birth`.
    pub question: Option<String>,
    /// Of records born after this number of the feed.
    pub after: u64,
    /// So many records at most.
    pub limit: u32,
}

/// A record with the answers that stand differently in it.
#[derive(Debug, Clone)]
pub struct DifferingRecord {
    /// Its row.
    pub row: RecordRow,
    /// The heads at which it is shown: a decision names them.
    pub heads: Vec<ChangeHash>,
    /// Only how many there are may be shown.
    pub is_masked: bool,
    /// The answers that stand differently.
    pub differences: Vec<DifferenceEntry>,
}

/// A page of them.
#[derive(Debug, Clone, Default)]
pub struct DifferencePage {
    /// In the order in which the records were made.
    pub records: Vec<DifferingRecord>,
    /// The next page begins after this number.
    pub next: Option<u64>,
    /// The questions of all differences that were looked through for this page, by name.
    pub questions: Vec<String>,
}

/// The question that an answer's key belongs to: `member/birth` of `member#a1/birth`, `attributes` of `attributes=old`.
pub fn question_of(key: &str) -> String {
    let key = key.split('=').next().unwrap_or_default();
    let parts: Vec<&str> = key.split('/').map(|part| part.split('#').next().unwrap_or_default()).collect();
    parts.join("/")
}

/// The keys of answers that a projection's JSON says to differ.
fn differing_keys(row: &RecordRow) -> Vec<String> {
    let merged: Value = serde_json::from_str(&row.projection.json).unwrap_or_default();
    let list = merged["differences"].as_array().map(Vec::as_slice).unwrap_or_default();
    let answers = list.iter().filter(|d| !d["section"].is_string());
    answers.filter_map(|d| d["key"].as_str().map(str::to_owned)).collect()
}

impl Service {
    /// Lists differing answers.
    pub fn differences(&self, township: TownshipId, filter: &DifferenceFilter) -> Result<DifferencePage, StorageError> {
        let limit = filter.limit.clamp(1, limits::PAGE_ROWS_MAX) as usize;
        let wanted = RecordFilter {
            with_differences: true,
            area: filter.area,
            after: filter.after,
            limit: LOOKED_THROUGH,
            ..RecordFilter::default()
        };
        let rows = self.storage.list_records(township, &wanted)?;
        let names = view::people(self, township)?;
        let mut page = DifferencePage::default();
        let all = rows.len() as u32;
        let mut last = 0;
        for row in rows {
            last = row.born;
            // people who link differently are shown with the duplicates
            if row.record_type == LINK_TYPE {
                continue;
            }
            let mut asked = filter.question.is_none();
            for question in differing_keys(&row).iter().map(|key| question_of(key)) {
                asked |= filter.question.as_deref() == Some(&question);
                if let Err(at) = page.questions.binary_search(&question) {
                    page.questions.insert(at, question);
                }
            }
            if asked && let Some(found) = self.differing(township, row, filter, &names)? {
                page.records.push(found);
            }
            if page.records.len() >= limit {
                page.next = Some(last);
                return Ok(page);
            }
        }
        page.next = (all >= LOOKED_THROUGH).then_some(last);
        Ok(page)
    }

    fn differing(
        &self,
        township: TownshipId,
        row: RecordRow,
        filter: &DifferenceFilter,
        names: &view::People,
    ) -> Result<Option<DifferingRecord>, StorageError> {
        let form = self.forms()?.of_type(row.record_type.split('.').next().unwrap_or_default());
        let is_masked = view::is_masked(&row, form.as_deref());
        let Some(stored) = self.storage.full_record(township, row.id)? else { return Ok(None) };
        let Ok(record) = merge::open_record(&stored) else { return Ok(None) };
        let mut differences = Circumstances::new(&stored, names).differences(&record, &record.view());
        differences.retain(|d| {
            let asked = filter.question.as_ref().is_none_or(|question| *question == question_of(&d.key));
            asked && !is_masked && form.as_ref().is_some_and(|form| view::is_shown(form, &d.key))
        });
        let heads = Record::heads(&record);
        Ok((is_masked || !differences.is_empty()).then_some(DifferingRecord { row, heads, is_masked, differences }))
    }
}

#[cfg(test)]
mod tests {
    use super::question_of;

    #[test]
    fn a_key_belongs_to_a_question_whatever_its_instance_and_choice() {
        for (key, question) in
            [("status", "status"), ("attributes=old", "attributes"), ("member#a1/birth", "member/birth")]
        {
            assert_eq!(question_of(key), question);
        }
        assert_eq!(question_of("member#a1/tags=student"), "member/tags");
        assert_eq!(question_of("member#a1/@order"), "member/@order");
    }
}
