//! Undoing a whole import, as long as nobody has built on it: what it made is ended as a mistake, what it changed gets its old
//! values back, as ordinary changes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use doorstep_core::id::{ChangeHash, DeviceId, Identity, RecordId, UserId};
use doorstep_core::record::{Section, Value};
use serde::Serialize;

use super::RegisterError;
use super::documents;
use super::schema::Schema;
use crate::calendar::day_of;
use crate::service::Service;
use crate::service::audit::{Act, Action, Actor};
use crate::service::merge::open_record;
use crate::service::office::{FormInstance, Office};
use crate::storage::register::{ImportDevice, ImportRow, ImportState};
use crate::storage::{RecordFilter, StoredRecord, TownshipId, Write};

/// Households looked at in one go.
const CHUNK: u32 = 200;
/// Numbers named when others have edited.
pub(super) const NAMED_MAX: usize = 20;

/// What an undoing did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Undone {
    /// Households that the import had made and that ended as a mistake.
    pub ended: u64,
    /// Households that got old answers back.
    pub restored: u64,
    /// Changes written.
    pub changes: usize,
}

/// One import, of any kind.
pub fn import_row(service: &Service, township: TownshipId, no: u64) -> Result<ImportRow, RegisterError> {
    let found = service.storage.imports(township, Some(no.saturating_add(1)), 1)?;
    found.into_iter().find(|i| i.no == no).ok_or(RegisterError::Table("no_import"))
}

/// Undoes an import, of any kind.
pub fn undo(
    service: &Arc<Service>,
    township: TownshipId,
    no: u64,
    user: UserId,
    actor: Actor,
) -> Result<Undone, RegisterError> {
    let row = import_row(service, township, no)?;
    if row.state == ImportState::Undone {
        return Err(RegisterError::Table("undone_before"));
    }
    if row.import.kind != super::HOUSEHOLDS {
        return super::lists::undo::undo(service, township, &row, actor);
    }
    let form = service.forms()?.of_type("household").ok_or(RegisterError::Table("no_form"))?;
    let schema = Schema::of(form).ok_or(RegisterError::Table("no_form"))?;
    let devices = service.storage.import_devices(township)?;
    let undoing =
        Undoing { service, township, no, schema: &schema, sides: Sides::of(service, township, no, &devices)? };
    undoing.refuse_if_edited()?;
    let (storage, act) = (&*service.storage, Act::new(Action::ImportUndone).in_township(township).about("import", no));
    let state = |state| Write::Import(township, no, state, service.clock.now_ms(), None);
    service.act(actor, act.clone().with("begun", true), [state(ImportState::Undoing)])?;
    let office = Office::start(service, user, township)?;
    storage.note_import_device(township, ImportDevice { no, device: office.device(), undoes: true })?;
    let done = undoing.write(&office)?;
    service.act(actor, act.with("changes", done.changes), [state(ImportState::Undone)])?;
    Ok(done)
}

/// Whose changes are whose.
struct Sides {
    /// Devices that wrote the import.
    import: HashSet<DeviceId>,
    /// Devices whose changes leave no trace: those of this import and its undoing, and of imports that were undone.
    harmless: HashSet<DeviceId>,
}

impl Sides {
    fn of(service: &Service, township: TownshipId, no: u64, devices: &[ImportDevice]) -> Result<Self, RegisterError> {
        let mut undone = HashSet::new();
        let mut before = None;
        loop {
            let rows = service.storage.imports(township, before, 500)?;
            undone.extend(rows.iter().filter(|i| i.state == ImportState::Undone).map(|i| i.no));
            before = rows.last().map(|i| i.no);
            if rows.len() < 500 {
                break;
            }
        }
        let of =
            |wanted: &dyn Fn(&ImportDevice) -> bool| devices.iter().filter(|d| wanted(d)).map(|d| d.device).collect();
        Ok(Self { import: of(&|d| d.no == no && !d.undoes), harmless: of(&|d| d.no == no || undone.contains(&d.no)) })
    }

    fn is_import(&self, device: Option<DeviceId>) -> bool {
        device.is_some_and(|d| self.import.contains(&d))
    }

    /// True when somebody else changed the document after the import.
    fn edited(&self, document: &StoredRecord) -> bool {
        let Some(first) = document.changes.iter().find(|c| self.is_import(c.device)).map(|c| c.seq) else {
            return false;
        };
        document.changes.iter().any(|c| c.seq > first && !c.device.is_some_and(|d| self.harmless.contains(&d)))
    }
}

struct Undoing<'a> {
    service: &'a Arc<Service>,
    township: TownshipId,
    no: u64,
    schema: &'a Schema,
    sides: Sides,
}

/// A household that an import touched, with its documents.
struct Touched {
    record: RecordId,
    created: bool,
    documents: Vec<StoredRecord>,
}

impl Undoing<'_> {
    /// Visits the touched households, some at a time.
    fn each(&self, visit: &mut dyn FnMut(Vec<Touched>) -> Result<(), RegisterError>) -> Result<(), RegisterError> {
        let storage = &*self.service.storage;
        let tenant_key = self.service.tenant_key();
        let record_type = &self.schema.form.record_type;
        let mut after = None;
        loop {
            let page = storage.import_records(self.township, self.no, after, CHUNK)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(*last);
            let ids = |id| documents::ids(record_type, &["sensitive", "office"], id, &tenant_key);
            let all: Vec<RecordId> = page.iter().flat_map(|(id, _)| ids(*id)).collect();
            let mut stored = storage.load_records(self.township, &all)?.into_iter();
            let touched = page.iter().map(|(record, created)| {
                let documents = stored.by_ref().take(3).flatten().collect();
                Touched { record: *record, created: *created, documents }
            });
            visit(touched.collect())?;
        }
    }

    fn refuse_if_edited(&self) -> Result<(), RegisterError> {
        let (mut count, mut numbers) = (0, Vec::new());
        self.each(&mut |households| {
            for household in households {
                let edited = household.documents.iter().any(|d| self.sides.edited(d));
                if edited || self.is_built_on(&household)? {
                    count += 1;
                    if numbers.len() < NAMED_MAX {
                        let row = self.service.storage.record_row(self.township, household.record)?;
                        numbers.push(row.map(|r| r.projection.label).unwrap_or_default());
                    }
                }
            }
            Ok(())
        })?;
        if count == 0 { Ok(()) } else { Err(RegisterError::EditedSince { code: "edited_since", count, numbers }) }
    }

    /// True when there are visits or other records about a household that the import made.
    fn is_built_on(&self, household: &Touched) -> Result<bool, RegisterError> {
        if !household.created || household.documents.is_empty() {
            return Ok(false);
        }
        let filter =
            RecordFilter { subject: Some(household.record), elsewhere: true, limit: 10, ..RecordFilter::default() };
        let part = format!("{}.", self.schema.form.record_type);
        let about = self.service.storage.list_records(self.township, &filter)?;
        Ok(about.iter().any(|r| !r.record_type.starts_with(&part)))
    }

    fn write(&self, office: &Office) -> Result<Undone, RegisterError> {
        let mut done = Undone::default();
        let today = day_of(self.service.clock.now_ms());
        self.each(&mut |households| {
            let mut instances = Vec::new();
            for household in &households {
                let Some(core) = household.documents.iter().find(|d| d.id == household.record) else { continue };
                let answers = if household.created {
                    done.ended += 1;
                    vec![("ended_on".to_owned(), today.as_str().into()), ("ended_why".to_owned(), "error".into())]
                } else {
                    done.restored += 1;
                    self.old_answers(household, &today)
                };
                instances.push(FormInstance {
                    id: household.record,
                    identity: Identity::of_type(&self.schema.form.record_type),
                    area: core.area,
                    subject: core.subject,
                    answers,
                });
            }
            done.changes += office.write_as_of(&instances, None)?;
            Ok(())
        })?;
        Ok(done)
    }

    /// The values before the import, of all that it changed; members that it made leave as a mistake.
    fn old_answers(&self, household: &Touched, today: &str) -> Vec<(String, Value)> {
        let mut old: BTreeMap<String, Value> = BTreeMap::new();
        for document in &household.documents {
            let devices: HashMap<_, _> = document.changes.iter().map(|c| (c.hash, c.device)).collect();
            let Ok(record) = open_record(document) else { continue };
            let by_import = |change: &ChangeHash| self.sides.is_import(devices.get(change).copied().flatten());
            for entry in record.history() {
                if entry.section == Section::Answers && by_import(&entry.change) {
                    // the first that the import put is the one that replaced what was there
                    let before = entry.previous.into_iter().next();
                    old.entry(entry.key).or_insert_with(|| before.unwrap_or(Value::Blank));
                }
            }
        }
        let start = format!("{}#", self.schema.repeat);
        let made: HashSet<String> = old
            .iter()
            .filter(|(key, before)| **before == Value::Blank && key.ends_with("/@order"))
            .filter_map(|(key, _)| Some(key.strip_prefix(&start)?.split_once('/')?.0.to_owned()))
            .collect();
        let instance_of =
            |key: &str| key.strip_prefix(&start).and_then(|k| k.split_once('/')).map(|(i, _)| i.to_owned());
        let mut answers: Vec<(String, Value)> = Vec::new();
        for (key, before) in old {
            if instance_of(&key).is_some_and(|i| made.contains(&i)) {
                continue;
            }
            let is_tick = key.contains('=');
            let before = if is_tick && before == Value::Blank { Value::Bool(false) } else { before };
            if !key.ends_with("/@order") {
                answers.push((key, before));
            }
        }
        for instance in made {
            answers.push((self.schema.member_key(&instance, "left_on"), today.into()));
            answers.push((self.schema.member_key(&instance, "left_why"), "error".into()));
        }
        answers
    }
}
