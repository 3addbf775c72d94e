//! A household's documents of all classes, as they are and as a preview showed them.

use std::collections::{BTreeMap, HashSet};

use doorstep_core::id::{Identity, RecordId, TenantKey};
use doorstep_core::record::{Section, Value};

use crate::service::merge::open_record;
use crate::storage::{Storage, StorageError, StoredRecord, TownshipId};

/// The answers of a household, over its documents.
#[derive(Debug, Default)]
pub struct Answers {
    /// As they are.
    pub now: BTreeMap<String, Value>,
    /// As the preview showed them; `None` when nothing changed since.
    shown: Option<BTreeMap<String, Value>>,
    /// Keys that stand differently.
    pub differing: HashSet<String>,
    /// True when a document can't be read.
    pub damaged: bool,
}

static BLANK: Value = Value::Blank;

impl Answers {
    /// An answer as it is.
    pub fn now(&self, key: &str) -> &Value {
        self.now.get(key).unwrap_or(&BLANK)
    }

    /// An answer as it was shown.
    pub fn shown(&self, key: &str) -> &Value {
        self.shown.as_ref().unwrap_or(&self.now).get(key).unwrap_or(&BLANK)
    }
}

/// The ids of a household's documents: the core one and a part for each class.
pub fn ids(record_type: &str, classes: &[&str], core: RecordId, tenant_key: &TenantKey) -> Vec<RecordId> {
    let parts = classes.iter().filter_map(|class| Identity::part(record_type, class, core).derived_id(tenant_key));
    std::iter::once(core).chain(parts).collect()
}

/// Loads the answers of households, each by the ids of its documents. `upto` is the feed's number at which they were shown.
pub fn load(
    storage: &dyn Storage,
    township: TownshipId,
    households: &[Vec<RecordId>],
    upto: Option<u64>,
) -> Result<Vec<Answers>, StorageError> {
    let all: Vec<RecordId> = households.iter().flatten().copied().collect();
    let mut stored = storage.load_records(township, &all)?.into_iter();
    let of = |ids: &Vec<RecordId>| {
        let documents: Vec<StoredRecord> = stored.by_ref().take(ids.len()).flatten().collect();
        answers(documents, upto)
    };
    Ok(households.iter().map(of).collect())
}

fn answers(documents: Vec<StoredRecord>, upto: Option<u64>) -> Answers {
    let mut answers = Answers::default();
    let moved = upto.is_some_and(|upto| documents.iter().flat_map(|d| &d.changes).any(|c| c.seq > upto));
    let mut shown = BTreeMap::new();
    for mut document in documents {
        let Ok(record) = open_record(&document) else {
            answers.damaged = true;
            continue;
        };
        let (view, merged) = record.view_and_answers();
        let differing = view.differences.into_iter().filter(|d| d.section == Section::Answers);
        answers.differing.extend(differing.map(|d| d.key));
        answers.now.extend(merged);
        if let (true, Some(upto)) = (moved, upto) {
            document.changes.retain(|c| c.seq <= upto);
            match open_record(&document) {
                Ok(record) => shown.extend(record.answers()),
                Err(_) => answers.damaged = true,
            }
        }
    }
    answers.shown = moved.then_some(shown);
    answers
}
