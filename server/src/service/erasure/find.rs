//! Finding a person's answers: in the household's documents, and in what is about the household.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use doorstep_core::form::{Catalog, Form};
use doorstep_core::id::{Identity, Incarnation, RecordId};
use doorstep_core::record::key::{AnswerKey, Leaf};
use doorstep_core::record::{Record, Section, Value};

use super::super::doubts::form_of;
use super::super::merge::open_record;
use super::super::office::WriteError;
use super::super::{Service, StorageError};
use super::{Erase, EraseError, ErasedDocument};
use crate::calendar::parse_day;
use crate::storage::{PreparedRecord, StoredRecord, TownshipId};

/// The shortest text that counts as a name or number of the person elsewhere, in characters.
const NAME_CHARS: usize = 2;
/// The question whose answer is a member's name.
const NAME: &str = "name";

/// A document with the answers that go.
pub(super) struct Doc {
    pub stored: StoredRecord,
    pub record: Record,
    pub erased: BTreeSet<String>,
}

/// The documents of one form instance, the core one first; all are rooted anew together.
pub(super) struct Group {
    pub form: Option<Arc<Form>>,
    pub docs: Vec<Doc>,
}

impl Group {
    pub fn ids(&self) -> impl Iterator<Item = RecordId> {
        self.docs.iter().map(|doc| doc.stored.id)
    }

    pub fn erased(&self) -> impl Iterator<Item = ErasedDocument> {
        self.docs.iter().map(|doc| ErasedDocument {
            record: doc.stored.id,
            record_type: doc.stored.identity.record_type.clone(),
            answers: doc.erased.clone(),
            differences: doc.record.view().differences.len(),
        })
    }
}

/// All that an erasure touches.
pub(super) struct Found {
    pub member: String,
    pub groups: Vec<Group>,
    pub mentions: Vec<(RecordId, String)>,
    pub forms: Arc<Catalog>,
    marks: Marks,
}

impl Found {
    /// The roots that were made of these documents in another township, as they replace what is here.
    pub fn with_roots(&self, roots: &[PreparedRecord]) -> Vec<PreparedRecord> {
        let docs = self.groups.iter().flat_map(|group| &group.docs);
        let root = |doc: &Doc| roots.iter().find(|root| root.id == doc.stored.id);
        let own = |root: &PreparedRecord, doc: &Doc| PreparedRecord {
            area: doc.stored.area,
            base_heads: Some(doc.stored.heads.clone()),
            ..root.clone()
        };
        docs.filter_map(|doc| Some(own(root(doc)?, doc))).collect()
    }
}

/// What tells that an answer is about the person.
#[derive(Clone)]
struct Marks {
    member: String,
    /// Names and numbers.
    texts: BTreeSet<String>,
    /// Every value that was ever given of them.
    values: Vec<Value>,
}

impl Marks {
    fn of(member: &str, household: &Group) -> Self {
        let mut marks = Self { member: member.to_owned(), texts: BTreeSet::new(), values: Vec::new() };
        for entry in household.docs.iter().flat_map(|doc| doc.record.history()) {
            if entry.section != Section::Answers || !is_in(&entry.key, member) {
                continue;
            }
            if let Value::Text(text) = &entry.value
                && text.chars().count() >= NAME_CHARS
                && parse_day(text).is_none()
                && !household.has_choices(&entry.key)
            {
                marks.texts.insert(text.clone());
            }
            marks.values.push(entry.value);
        }
        marks
    }

    /// The key stands inside the person's instance, or the value names the person.
    fn names(&self, key: &str, value: &Value) -> bool {
        let ticked = AnswerKey::parse(key)
            .is_some_and(|key| matches!(key.leaf, Leaf::Tick { choice, .. } if choice == self.member));
        let text = matches!(value, Value::Text(text) if *text == self.member || self.texts.contains(text));
        is_in(key, &self.member) || ticked || text
    }

    fn mentioned(&self, value: &Value) -> bool {
        matches!(value, Value::Text(text) if self.texts.iter().any(|name| text.contains(name.as_str())))
    }
}

impl Group {
    fn has_choices(&self, key: &str) -> bool {
        let question = self.form.as_ref().and_then(|form| form.question_of(key));
        question.is_some_and(|question| question.choices.is_some())
    }

    /// Notes the answers that go; true if there are or ever were some.
    fn mark(&mut self, marks: &Marks, also: &BTreeSet<(RecordId, &str)>) -> bool {
        let history: Vec<_> = self.docs.iter().map(|doc| doc.record.history()).collect();
        let answers = || history.iter().flatten().filter(|entry| entry.section == Section::Answers);
        let named = answers().any(|entry| marks.names(&entry.key, &entry.value));
        // an event about the person says of them what the household says
        let is_event = named && self.form.as_ref().is_some_and(|form| form.event().is_some());
        let mut touched = named;
        for (doc, history) in self.docs.iter_mut().zip(&history) {
            for entry in history.iter().filter(|entry| entry.section == Section::Answers) {
                let named = also.contains(&(doc.stored.id, entry.key.as_str()));
                touched |= named;
                let shown = doc.record.value(Section::Answers, &entry.key).unwrap_or(Value::Blank);
                let same = is_event && shown != Value::Blank && marks.values.contains(&shown);
                if named || same || is_in(&entry.key, &marks.member) || marks.names(&entry.key, &shown) {
                    doc.erased.insert(entry.key.clone());
                }
            }
        }
        touched
    }

    fn mentions(&self, marks: &Marks) -> BTreeSet<(RecordId, String)> {
        let mut found = BTreeSet::new();
        for doc in &self.docs {
            for entry in doc.record.history() {
                let goes = doc.erased.contains(&entry.key) || marks.names(&entry.key, &entry.value);
                if !goes && marks.mentioned(&entry.value) {
                    found.insert((doc.stored.id, entry.key));
                }
            }
        }
        found
    }
}

/// Whether a key stands inside an instance.
fn is_in(key: &str, instance: &str) -> bool {
    AnswerKey::parse(key).is_some_and(|key| key.instances.iter().any(|(_, id)| *id == instance))
}

/// The member's instance, by itself or by a name that only one has.
fn member_of(group: &Group, wanted: &str) -> Result<String, EraseError> {
    let mut by_name = BTreeSet::new();
    for doc in &group.docs {
        for entry in doc.record.history() {
            let Some(key) = AnswerKey::parse(&entry.key) else { continue };
            let [(_, instance)] = key.instances[..] else { continue };
            if instance == wanted {
                return Ok(wanted.to_owned());
            }
            let shown = doc.record.value(Section::Answers, &entry.key);
            if key.leaf == Leaf::Question(NAME) && shown == Some(Value::Text(wanted.to_owned())) {
                by_name.insert(instance.to_owned());
            }
        }
    }
    match by_name.len() {
        0 => Err(EraseError::Member),
        1 => by_name.pop_first().ok_or(EraseError::Member),
        _ => Err(EraseError::SeveralMembers),
    }
}

impl Service {
    pub(super) fn find_erased(&self, township: TownshipId, erase: &Erase) -> Result<Found, EraseError> {
        if erase.ground.trim().is_empty() {
            return Err(EraseError::Ground);
        }
        let forms = self.forms()?;
        let mut household = self.group(township, &forms, erase.household)?.ok_or(EraseError::Household)?;
        let member = member_of(&household, &erase.member)?;
        let marks = Marks::of(&member, &household);
        let also: BTreeSet<(RecordId, &str)> = erase.also.iter().map(|(id, key)| (*id, key.as_str())).collect();
        household.mark(&marks, &also);
        let (mut groups, mut mentions) = (Vec::new(), household.mentions(&marks));
        let mut known: BTreeSet<RecordId> = household.ids().collect();
        groups.push(household);
        for core in self.cores_about(township, erase.household)? {
            let Some(mut group) = self.group(township, &forms, core)? else { continue };
            known.extend(group.ids());
            let touched = group.mark(&marks, &also);
            mentions.extend(group.mentions(&marks));
            if touched {
                groups.push(group);
            }
        }
        if also.iter().any(|(id, _)| !known.contains(id)) {
            return Err(EraseError::Also);
        }
        Ok(Found { member, groups, mentions: mentions.into_iter().collect(), forms, marks })
    }

    /// The same documents in a township where the household was before: all that are rooted anew at home are there too, on the
    /// same roots. `None` where it was done already.
    pub(super) fn find_copies(
        &self,
        township: TownshipId,
        erase: &Erase,
        home: &Found,
    ) -> Result<Option<Found>, EraseError> {
        let also: BTreeSet<(RecordId, &str)> = erase.also.iter().map(|(id, key)| (*id, key.as_str())).collect();
        let mut groups = Vec::new();
        for group in &home.groups {
            let at_home: BTreeMap<RecordId, Incarnation> =
                group.docs.iter().map(|doc| (doc.stored.id, doc.stored.incarnation)).collect();
            let Some(core) = group.docs.first() else { continue };
            let Some(mut copy) = self.group(township, &home.forms, core.stored.id)? else { continue };
            let is_done = |doc: &Doc| at_home.get(&doc.stored.id).is_some_and(|at| doc.stored.incarnation > *at);
            if !copy.docs.iter().any(is_done) {
                copy.mark(&home.marks, &also);
                groups.push(copy);
            }
        }
        let (member, forms, marks) = (home.member.clone(), home.forms.clone(), home.marks.clone());
        let found = Found { member, groups, mentions: Vec::new(), forms, marks };
        Ok(Some(found).filter(|found| !found.groups.is_empty()))
    }

    /// The core records of the form instances about a household. Links between members hold ids only, and stay.
    fn cores_about(&self, township: TownshipId, household: RecordId) -> Result<BTreeSet<RecordId>, StorageError> {
        let mut cores = BTreeSet::new();
        self.each_about(township, household, |row| cores.extend([row.core]))?;
        cores.remove(&household);
        Ok(cores)
    }

    fn group(&self, township: TownshipId, forms: &Catalog, core: RecordId) -> Result<Option<Group>, EraseError> {
        let Some(stored) = self.storage.load_records(township, &[core])?.into_iter().flatten().next() else {
            return Ok(None);
        };
        let record_type = stored.identity.record_type.clone();
        let form = form_of(forms, &record_type);
        let part = |class: &str| Identity::part(&record_type, class, core).derived_id(&self.tenant_key());
        let parts: Vec<RecordId> = ["sensitive", "office"].into_iter().filter_map(part).collect();
        let parts = self.storage.load_records(township, &parts)?.into_iter().flatten();
        let open = |stored: StoredRecord| {
            let record = open_record(&stored).map_err(|r| WriteError::Change(r.code().to_owned()))?;
            Ok(Doc { stored, record, erased: BTreeSet::new() })
        };
        let docs = std::iter::once(stored).chain(parts).map(open).collect::<Result<_, WriteError>>()?;
        Ok(Some(Group { form, docs }))
    }
}

/// All sections' values that readers see, by section and key.
pub(super) fn shown(record: &Record) -> BTreeMap<(Section, String), Value> {
    let keys: BTreeSet<(Section, String)> = record.history().into_iter().map(|e| (e.section, e.key)).collect();
    keys.into_iter()
        .filter_map(|(section, key)| record.value(section, &key).map(|value| ((section, key), value)))
        .collect()
}
