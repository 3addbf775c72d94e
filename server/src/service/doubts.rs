//! Merged isn't valid: a merged record run once more through its form's logic, with its own dates and zone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use doorstep_core::clock::{ManualClock, Millis, SeededEntropy};
use doorstep_core::form::check::is_date;
use doorstep_core::form::expression::days_from_civil;
use doorstep_core::form::session::{Classes, Doubt, Found, RecheckOptions, Rules, Surroundings, question_key, recheck};
use doorstep_core::form::{AnswerError, Catalog, Form, Sensitivity};
use doorstep_core::id::{ChangeHash, Identity, RecordId, TenantKey};
use doorstep_core::record::{FormRef, Record, Section, Value};

use super::merge::open_record;
use crate::storage::{NewDoubt, StoredRecord};

/// A day.
const DAY_MS: i64 = 24 * 3600 * 1000;

/// The answers of a merged record, by key.
pub type Answers = BTreeMap<String, Value>;

/// One document of a form instance, merged.
#[derive(Clone, Copy)]
pub struct Document<'a> {
    /// Which class of answers it holds.
    pub class: Sensitivity,
    /// The record.
    pub record: &'a Record,
    /// Its answers.
    pub answers: &'a Answers,
}

/// The class of the answers that a document of this type holds.
pub fn class_of(record_type: &str) -> Sensitivity {
    match record_type.split_once('.').map(|(_, class)| class) {
        Some("sensitive") => Sensitivity::Sensitive,
        Some("office") => Sensitivity::Office,
        _ => Sensitivity::Core,
    }
}

/// The form that reads records of this type, a part's being its core's.
pub fn form_of(forms: &Catalog, record_type: &str) -> Option<Arc<Form>> {
    forms.of_type(record_type.split('.').next().unwrap_or(record_type))
}

/// The rules of a form if they need all documents of an instance.
pub fn mixed_rules(forms: &Catalog, form: &Arc<Form>) -> Option<Arc<Rules>> {
    forms.rules(form).filter(|rules| rules.are_mixed())
}

/// The doubtful answers of a form instance, each with the document whose readers may learn of it. `documents` are all that there
/// are, or one of a form whose rules read no other.
pub fn find(forms: &Catalog, form: &Arc<Form>, documents: &[Document<'_>]) -> Vec<BTreeSet<NewDoubt>> {
    let mut found: Vec<BTreeSet<NewDoubt>> =
        documents.iter().map(|d| unfit_answers(forms, form, d, d.answers.iter()).collect()).collect();
    let by = FormRef { name: form.name.clone(), version: form.version };
    let Some(rules) = forms.rules(form) else { return found };
    let complete = documents.iter().any(|d| d.record.is_complete());
    if documents.is_empty() || !rules.say_more(complete) {
        return found;
    }
    let held = if rules.are_mixed() { Classes::ALL } else { Classes::one(documents[0].class) };
    let all: Answers;
    let answers = match documents {
        [one] => one.answers,
        several => {
            all = several.iter().flat_map(|d| d.answers.clone()).collect();
            &all
        }
    };
    let written = documents.iter().map(|d| d.record.written_last()).max().unwrap_or_default();
    let at =
        |(claimed_s, zone)| recheck(&rules, answers, surroundings(claimed_s, zone), &RecheckOptions { held, complete });
    let mut earlier: BTreeMap<Written, Vec<Found>> = BTreeMap::new();
    for doubt in at(written) {
        // a condition such as `. = today()` held when the answer was given
        let given = (doubt.doubt == Doubt::Constraint).then(|| given_at(documents, &doubt.key)).flatten();
        if let Some(given) = given.filter(|given| *given != written)
            && !earlier.entry(given).or_insert_with(|| at(given)).contains(&doubt)
        {
            continue;
        }
        // where there is no document of the class, nothing of it can be told either
        let own = form.class_of(&doubt.key).unwrap_or_default();
        let place = |class| documents.iter().position(|d| d.class == class);
        let Some(place) = place(doubt.class).or_else(|| place(own)).or((held == Classes::ALL).then_some(0)) else {
            continue;
        };
        let new = NewDoubt { key: doubt.key, kind: doubt.doubt, class: doubt.class, form: by.clone() };
        // an answer that doesn't fit is told once, by the class of its document
        let told = found.iter().flatten().any(|d| d.key == new.key && d.kind == new.kind);
        if !told {
            found[place].insert(new);
        }
    }
    found
}

/// The doubtful answers among those that some changes put into a record that had none, where no rule reads or judges them: the
/// others are as they were. `None` where the whole record must be looked at.
pub fn find_free(
    forms: &Catalog,
    form: &Arc<Form>,
    document: &Document<'_>,
    changes: &[ChangeHash],
) -> Option<BTreeSet<NewDoubt>> {
    let rules = forms.rules(form)?;
    let finished = |hash: &ChangeHash| document.record.author_of(hash).is_none_or(|info| info.note.is_complete);
    let keys = document.record.answers_put_by(changes);
    if changes.iter().any(finished) || !keys.iter().all(|key| rules.leave_free(key)) {
        return None;
    }
    let put = keys.into_iter().filter_map(|key| document.answers.get_key_value(key));
    Some(unfit_answers(forms, form, document, put).collect())
}

fn unfit_answers<'a>(
    forms: &Catalog,
    form: &Form,
    document: &Document<'a>,
    answers: impl Iterator<Item = (&'a String, &'a Value)>,
) -> impl Iterator<Item = NewDoubt> {
    let by = FormRef { name: form.name.clone(), version: form.version };
    let Document { class, record, .. } = *document;
    answers.filter_map(move |(key, value)| {
        let kind = unfit(forms, form, record, (key, value))?;
        Some(NewDoubt { key: question_key(key), kind, class, form: by.clone() })
    })
}

/// What is wrong with an answer by itself. Bounds are a condition of the form as it is now; anything else may also fit as the
/// form was when the record was written.
fn unfit(forms: &Catalog, form: &Form, record: &Record, (key, value): (&String, &Value)) -> Option<Doubt> {
    let error = form.check_answer(key, value).err()?;
    if error == AnswerError::UnknownQuestion {
        return None; // another version's: no change made with this form could mend it
    }
    if matches!(error, AnswerError::OutOfRange { .. }) && form.question_of(key)?.constraint.is_some() {
        return Some(Doubt::Constraint);
    }
    let mut versions = record.forms().into_iter().filter_map(|f| forms.named(&f.name, f.version));
    (!versions.any(|form| form.check_answer(key, value).is_ok())).then_some(Doubt::Unfit)
}

/// Claimed time in seconds since 1970, and zone in minutes east of UTC.
type Written = (i64, i16);

/// When and where an answer was given, as its author claims.
fn given_at(documents: &[Document<'_>], key: &str) -> Option<Written> {
    let record = documents.iter().find(|d| d.answers.contains_key(key))?.record;
    let info = record.author_of(&record.put_by(Section::Answers, key)?)?;
    Some((info.claimed_s, info.note.zone_minutes))
}

/// The clock and zone in which rules are evaluated: when and where the record was written.
fn surroundings(claimed_s: i64, zone_minutes: i16) -> Surroundings {
    let now_ms = claimed_s.max(0).cast_unsigned().saturating_mul(1000);
    let entropy = Arc::new(SeededEntropy::new(0));
    Surroundings::new(Arc::new(ManualClock::at(now_ms)), entropy, zone_minutes.into())
}

/// Between which server times a form's day may lie.
#[derive(Debug, Clone, Copy)]
pub struct DateBounds {
    /// The sync before the one that brought the change; 0 where there was none.
    pub previous_sync_ms: Millis,
    /// When the change was received.
    pub received_ms: Millis,
}

/// Whether the form's day was written by one of the changes that arrived, and if so, whether it is doubtful. `arrived` tells of a
/// change whether it is new, and whether the bounds are its own.
pub fn judge_date(
    form: &Form,
    document: &Document<'_>,
    bounds: Option<DateBounds>,
    arrived: impl Fn(&ChangeHash) -> Option<bool>,
) -> (bool, Option<NewDoubt>) {
    let key = &form.list.day;
    if key.is_empty() || form.class_of(key) != Some(document.class) {
        return (false, None);
    }
    let Some(change) = document.record.put_by(Section::Answers, key) else { return (true, None) };
    let Some(bounds_are_its_own) = arrived(&change) else { return (false, None) };
    let Some(Value::Text(day)) = document.answers.get(key) else { return (true, None) };
    let (Some(bounds), true) = (bounds, bounds_are_its_own) else { return (true, None) };
    let zone_minutes = document.record.author_of(&change).map_or(0, |info| info.note.zone_minutes);
    let Some(start) = day_number(day) else { return (true, None) };
    let start = start * DAY_MS - i64::from(zone_minutes) * 60_000;
    let early = bounds.previous_sync_ms > 0 && start + DAY_MS <= bounds.previous_sync_ms.cast_signed() - DAY_MS;
    let late = start > bounds.received_ms.cast_signed() + DAY_MS;
    let by = FormRef { name: form.name.clone(), version: form.version };
    let doubt = NewDoubt { key: key.clone(), kind: Doubt::Date, class: document.class, form: by };
    (true, (early || late).then_some(doubt))
}

/// Days since 1970 of a text that starts with a day.
fn day_number(text: &str) -> Option<i64> {
    let day = text.get(..10).filter(|day| is_date(day))?;
    let mut parts = day.split('-').map(|n| n.parse().ok());
    Some(days_from_civil(parts.next()??, parts.next()??, parts.next()??))
}

/// The documents that a form instance may have, by class.
pub fn document_ids(rules: &Rules, core: RecordId, key: &TenantKey) -> Vec<(Sensitivity, RecordId)> {
    let core_type = rules.model().form().record_type.as_str();
    let parts = [Sensitivity::Sensitive, Sensitivity::Office].into_iter().filter(|c| rules.classes().contain(*c));
    let part = |class: Sensitivity| Some((class, Identity::part(core_type, class.as_str(), core).derived_id(key)?));
    std::iter::once((Sensitivity::Core, core)).chain(parts.filter_map(part)).collect()
}

/// A document of a form instance as it is stored, or that there is none.
pub struct StoredPart {
    /// The record.
    pub id: RecordId,
    /// Its class.
    pub class: Sensitivity,
    /// Its heads; `None` where there is no such record.
    pub heads: Option<Vec<ChangeHash>>,
    /// How many doubtful answers are open.
    pub doubts: u32,
    opened: Option<(Record, Answers)>,
}

impl StoredPart {
    /// What is stored under the id of a form's document; `None` where that is something else, or can't be opened.
    pub fn open(form: &Form, (class, id): (Sensitivity, RecordId), stored: Option<StoredRecord>) -> Option<Self> {
        let Some(stored) = stored else { return Some(Self { id, class, heads: None, doubts: 0, opened: None }) };
        let stored_type = stored.identity.record_type.as_str();
        let is_of_form = stored_type.split('.').next() == Some(form.record_type.as_str());
        if !is_of_form || class_of(stored_type) != class {
            return None;
        }
        let record = open_record(&stored).ok()?;
        let answers = record.answers();
        let opened = Some((record, answers));
        Some(Self { id, class, heads: Some(stored.heads), doubts: stored.doubts, opened })
    }

    /// The document, where there is one.
    pub fn document(&self) -> Option<Document<'_>> {
        self.opened.as_ref().map(|(record, answers)| Document { class: self.class, record, answers })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

    use doorstep_core::id::{ActorId, UserId};
    use doorstep_core::record::{Author, ChangeNote, Edit};

    use super::*;

    /// 2026-06-10 00:00 in UTC+8.
    const MIDNIGHT_MS: Millis = 1_781_020_800_000;
    const DAY: Millis = DAY_MS as Millis;

    fn visit(day: &str, zone_minutes: i16) -> Record {
        let mut record = Record::new(Identity::of_type("visit"));
        let note = ChangeNote { zone_minutes, ..ChangeNote::by(UserId([1; 16])) };
        let author = Author { actor: ActorId([1; 16]), note, claimed_s: 1_781_000_000 };
        record.edit(&[], &author, &[Edit::answer("visit_date", day)]).unwrap().unwrap();
        record
    }

    fn is_doubtful(record: &Record, previous_sync_ms: Millis, received_ms: Millis) -> bool {
        let form = Catalog::default().of_type("visit").unwrap();
        let answers = record.answers();
        let document = Document { class: Sensitivity::Core, record, answers: &answers };
        let bounds = DateBounds { previous_sync_ms, received_ms };
        let (judged, doubt) = judge_date(&form, &document, Some(bounds), |_| Some(true));
        assert!(judged);
        doubt.is_some()
    }

    #[test]
    fn a_day_may_lie_between_the_sync_before_and_the_receipt_with_a_day_on_both_sides() {
        let record = visit("2026-06-10", 480);
        // the day ends 24 hours after midnight; the sync before may be up to a day later than that
        assert!(!is_doubtful(&record, MIDNIGHT_MS + 2 * DAY - 1, MIDNIGHT_MS + 9 * DAY));
        assert!(is_doubtful(&record, MIDNIGHT_MS + 2 * DAY, MIDNIGHT_MS + 9 * DAY));
        assert!(!is_doubtful(&record, 0, MIDNIGHT_MS + 900 * DAY), "a device that never synced may bring anything");
        assert!(!is_doubtful(&record, 0, MIDNIGHT_MS - DAY));
        assert!(is_doubtful(&record, 0, MIDNIGHT_MS - DAY - 1), "it hadn't begun a day after the receipt");
        // the same day begins 15 hours later in -07:00
        assert!(is_doubtful(&visit("2026-06-10", -420), 0, MIDNIGHT_MS - DAY));
    }

    #[test]
    fn a_day_that_is_none_or_was_there_before_is_not_judged() {
        let form = Catalog::default().of_type("visit").unwrap();
        let bounds = Some(DateBounds { previous_sync_ms: 0, received_ms: 1 });
        let judge = |record: &Record, arrived: Option<bool>| {
            let answers = record.answers();
            let document = Document { class: Sensitivity::Core, record, answers: &answers };
            let (judged, doubt) = judge_date(&form, &document, bounds, |_| arrived);
            (judged, doubt.is_some())
        };
        let record = visit("2026-06-10", 480);
        assert_eq!(judge(&record, Some(true)), (true, true));
        assert_eq!(judge(&record, Some(false)), (true, false), "another device's change that waited");
        assert_eq!(judge(&record, None), (false, false), "an older change");
        assert_eq!(judge(&visit("soon", 480), Some(true)), (true, false));
        assert_eq!(judge(&Record::new(Identity::of_type("visit")), Some(true)), (true, false));
    }
}
