//! What helpers do on their phones.

use std::collections::{BTreeMap, BTreeSet};

use doorstep_core::client::{NewRecord, PhoneError};
use doorstep_core::fault;
use doorstep_core::form::Pack;
use doorstep_core::id::{Identity, RecordId};
use doorstep_core::record::Value;
use doorstep_core::store::{DraftId, StoreError};

use super::device::{Acted, Device};
use super::outcome::{Failure, count};
use super::truth::{Doing, Draft, Finished, Journal, fold, has, text, visible};
use super::world::World;

const HOUSEHOLD: [&str; 6] = ["head_name", "hamlet", "address", "handbook_no", "remark", "phone"];
const VISIT: [&str; 3] = ["problem", "remark", "measures_note"];
const SCREENING: [&str; 4] = ["problem", "remark", "entitled_not_receiving", "income_wages"];

/// True for values that no other answer has.
fn is_unique(value: &Value) -> bool {
    match value {
        Value::Text(text) => text.strip_prefix('t').is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit())),
        Value::Int(n) => *n >= 1_000_000,
        _ => false,
    }
}

#[derive(Clone, Copy)]
enum Task {
    Visit,
    Household,
    Member,
    Screening,
    Resolve,
    Found,
    EditVisit,
    Together,
    Draft,
}

const TASKS: [(u64, Task); 9] = [
    (14, Task::Visit),
    (20, Task::Household),
    (8, Task::Member),
    (8, Task::Screening),
    (8, Task::Resolve),
    (4, Task::Found),
    (5, Task::EditVisit),
    (8, Task::Together),
    (25, Task::Draft),
];

impl World<'_> {
    /// A helper does something.
    pub fn work(&mut self) -> Result<(), Failure> {
        let who = self.anyone();
        match self.dice.weighted(&TASKS) {
            Task::Visit => self.about_household(who, "visit", 45),
            Task::Screening => self.about_household(who, "screening", 80),
            Task::Household => self.edit_some(who, "household", 60),
            Task::EditVisit => self.edit_some(who, "visit", 70),
            Task::Member => self.member(who),
            Task::Resolve => self.resolve(who),
            Task::Found => self.found_household(who),
            Task::Together => self.together(),
            Task::Draft => self.go_on(who),
        }
    }

    /// The document of a form instance that holds an answer.
    pub fn document(&self, form: &str, core: RecordId, key: &str) -> Result<RecordId, Failure> {
        let missing = || Failure::broken("simulation", format!("no form or question: {form} {key}"));
        let form = Pack::built_in().form(form).ok_or_else(missing)?;
        match form.class_of(key).ok_or_else(missing)?.as_str() {
            "core" => Ok(core),
            class => {
                let part = Identity::part(&form.def().record_type, class, core);
                part.derived_id(&self.tenant_key).ok_or_else(missing)
            }
        }
    }

    fn some_household(&self, who: usize) -> Result<Option<RecordId>, Failure> {
        Ok(self.dice.pick(&self.devices[who].rows(Some("household"))?).map(|row| row.id))
    }

    fn about_household(&mut self, who: usize, form: &'static str, finish: u64) -> Result<(), Failure> {
        let Some(household) = self.some_household(who)? else { return Ok(()) };
        self.fill(who, form, household, finish)
    }

    fn fill(&mut self, who: usize, form: &'static str, household: RecordId, finish: u64) -> Result<(), Failure> {
        let Some(draft) = self.open_draft(who, form, Some(household), None)? else { return Ok(()) };
        count(&mut self.out.work, if form == "visit" { "visits" } else { "screenings" }, 1);
        let date = if form == "visit" { "visit_date" } else { "screening_date" };
        if !self.write(who, draft, date, Value::from("2026-11-24"))? {
            return Ok(());
        }
        self.some_answers(who, draft, form)?;
        self.perhaps_finish(who, draft, finish)
    }

    fn edit_some(&mut self, who: usize, form: &'static str, finish: u64) -> Result<(), Failure> {
        let rows = self.devices[who].rows(Some(form))?;
        let Some(record) = self.dice.pick(&rows).map(|row| row.id) else { return Ok(()) };
        self.edit(who, form, record, finish)
    }

    fn edit(&mut self, who: usize, form: &'static str, record: RecordId, finish: u64) -> Result<(), Failure> {
        let Some(draft) = self.open_draft(who, form, None, Some(record))? else { return Ok(()) };
        count(&mut self.out.work, "edits", 1);
        self.some_answers(who, draft, form)?;
        self.perhaps_finish(who, draft, finish)
    }

    fn found_household(&mut self, who: usize) -> Result<(), Failure> {
        let Some(draft) = self.open_draft(who, "household", None, None)? else { return Ok(()) };
        count(&mut self.out.work, "households", 1);
        self.some_answers(who, draft, "household")?;
        self.perhaps_finish(who, draft, 80)
    }

    /// A member is added, renamed or marked as removed.
    fn member(&mut self, who: usize) -> Result<(), Failure> {
        let Some(household) = self.some_household(who)? else { return Ok(()) };
        let known: Vec<String> = match self.devices[who].phone()?.store().record(household)? {
            Some(record) => {
                let names = record.answers().into_keys();
                names.filter_map(|k| Some(k.strip_prefix("member#")?.strip_suffix("/name")?.to_owned())).collect()
            }
            None => Vec::new(),
        };
        let Some(draft) = self.open_draft(who, "household", None, Some(household))? else { return Ok(()) };
        count(&mut self.out.work, "members", 1);
        match self.dice.pick(&known).cloned() {
            Some(instance) if self.dice.chance(60) => {
                let (key, value) = match self.dice.below(3) {
                    0 => ("@deleted", Value::Bool(self.dice.chance(80))),
                    1 => ("id_number", self.token()),
                    _ => ("name", self.token()),
                };
                self.write(who, draft, &format!("member#{instance}/{key}"), value)?;
            }
            _ => {
                let instance: [u8; 4] = self.dice.bytes();
                let instance: String = instance.iter().map(|b| format!("{b:02x}")).collect();
                let name = self.token();
                if self.write(who, draft, &format!("member#{instance}/name"), name)? {
                    let number = self.token();
                    self.write(who, draft, &format!("member#{instance}/id_number"), number)?;
                }
            }
        }
        self.perhaps_finish(who, draft, 80)
    }

    /// Several phones write on the same household, or make the same screening, before any of them syncs.
    fn together(&mut self) -> Result<(), Failure> {
        let who = self.anyone();
        let Some(household) = self.some_household(who)? else { return Ok(()) };
        let screening = self.dice.chance(40);
        for other in 0..self.devices.len() {
            if self.devices[other].phone()?.store().row(household)?.is_some() && (other == who || self.dice.chance(60))
            {
                if screening {
                    self.fill(other, "screening", household, 95)?;
                } else {
                    self.edit(other, "household", household, 90)?;
                }
            }
        }
        Ok(())
    }

    /// A helper goes on with an open draft.
    fn go_on(&mut self, who: usize) -> Result<(), Failure> {
        let drafts: Vec<(DraftId, &'static str)> =
            self.devices[who].memory.drafts.iter().map(|d| (d.id, d.form)).collect();
        let Some((draft, form)) = self.dice.pick(&drafts).copied() else { return Ok(()) };
        match self.dice.below(100) {
            0..40 => self.some_answers(who, draft, form).map(drop),
            40..55 => self.undo(who, draft),
            55..62 => self.discard(who, draft),
            _ => self.finish(who, draft),
        }
    }

    fn some_answers(&mut self, who: usize, draft: DraftId, form: &'static str) -> Result<(), Failure> {
        let keys: &[&str] = match form {
            "household" => &HOUSEHOLD,
            "visit" => &VISIT,
            _ => &SCREENING,
        };
        for _ in 0..self.dice.between(1, 3) {
            let Some(key) = self.dice.pick(keys).copied() else { return Ok(()) };
            let value = match key {
                _ if self.dice.chance(4) => Value::Blank,
                "income_wages" => self.number(),
                _ => self.token(),
            };
            if !self.write(who, draft, key, value)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn perhaps_finish(&mut self, who: usize, draft: DraftId, percent: u64) -> Result<(), Failure> {
        if self.devices[who].memory.draft(draft).is_some() && self.dice.chance(percent) {
            return self.finish(who, draft);
        }
        Ok(())
    }

    /// Does something on a phone that may die of it; `None` if it did.
    fn on_phone<T>(
        &mut self,
        who: usize,
        doing: &Doing,
        work: impl FnOnce(&doorstep_core::client::Phone) -> Result<T, PhoneError>,
    ) -> Result<Option<T>, Failure> {
        if self.dice.chance(6) {
            fault::arm(Some(self.dice.between(1, 3)));
        }
        let full = self.dice.chance(3);
        fault::limit_pages("phone", full.then(|| self.dice.below(2) as u32));
        let acted = self.devices[who].act(doing, work);
        fault::limit_pages("phone", None);
        fault::arm(None);
        match acted? {
            Acted::Done(done) => Ok(Some(done)),
            Acted::Refused(PhoneError::Store(StoreError::Full)) if full => {
                self.fault("phone disk full");
                self.note(&format!("phone {who} is full, {doing:?}"));
                Ok(None)
            }
            Acted::Refused(error) => {
                let what = Failure::unexpected(&error).what;
                Failure::err("unexpected error", format!("phone {who}, {doing:?}: {what}"))
            }
            Acted::Died(point) => {
                count(&mut self.out.crashes, point, 1);
                self.fault("phone crash");
                self.note(&format!("phone {who} died at {point}, {doing:?}"));
                self.find_unseen(who)?;
                Ok(None)
            }
        }
    }

    fn open_draft(
        &mut self,
        who: usize,
        form: &'static str,
        subject: Option<RecordId>,
        record: Option<RecordId>,
    ) -> Result<Option<DraftId>, Failure> {
        let mut shown = BTreeMap::new();
        if let Some(core) = record {
            let store = self.devices[who].phone()?.store().clone();
            let identity = Identity::part(form, "sensitive", core);
            for id in [Some(core), identity.derived_id(&self.tenant_key)].into_iter().flatten() {
                if let Some(record) = store.record(id)? {
                    shown.insert(id, visible(&record));
                }
            }
        }
        let opened = self.on_phone(who, &Doing::Starting, |phone| match record {
            Some(record) => phone.edit(record),
            None => phone.start(form, subject),
        })?;
        let Some(id) = opened else { return Ok(None) };
        let campaign = form == "screening";
        let draft = Draft { id, form, subject, record, campaign, journal: Journal::new(), shown };
        self.devices[who].memory.drafts.push(draft);
        Ok(Some(id))
    }

    /// Saves an answer; false if the phone died.
    fn write(&mut self, who: usize, draft: DraftId, key: &str, value: Value) -> Result<bool, Failure> {
        let Some(known) = self.devices[who].memory.draft(draft) else { return Ok(false) };
        let mut journal = known.journal.clone();
        journal.push((key.to_owned(), value.clone()));
        let doing = Doing::Writing(draft, journal.clone());
        let done = self.on_phone(who, &doing, |phone| phone.answer(draft, key, &value))?;
        if done.is_some() {
            if let Some(known) = self.devices[who].memory.draft_mut(draft) {
                known.journal = journal;
            }
            count(&mut self.out.work, "answers", 1);
        }
        Ok(done.is_some())
    }

    fn undo(&mut self, who: usize, draft: DraftId) -> Result<(), Failure> {
        let Some(known) = self.devices[who].memory.draft(draft) else { return Ok(()) };
        let mut journal = known.journal.clone();
        let last = journal.pop().map(|(key, _)| key);
        let taken = self.on_phone(who, &Doing::Writing(draft, journal.clone()), |phone| phone.undo(draft))?;
        let Some(taken) = taken else { return Ok(()) };
        if taken != last {
            return Failure::err("I1", format!("phone {who}: undo took {taken:?} back, the last answer was {last:?}"));
        }
        if let Some(known) = self.devices[who].memory.draft_mut(draft) {
            known.journal = journal;
        }
        Ok(())
    }

    fn discard(&mut self, who: usize, draft: DraftId) -> Result<(), Failure> {
        if self.on_phone(who, &Doing::Discarding(draft), |phone| phone.discard(draft))?.is_some() {
            self.devices[who].memory.forget(draft);
        }
        Ok(())
    }

    fn finish(&mut self, who: usize, draft: DraftId) -> Result<(), Failure> {
        let Some(known) = self.devices[who].memory.draft(draft).cloned() else { return Ok(()) };
        let area = self.devices[who].village.or_else(|| self.dice.pick(&self.villages).copied());
        let new = NewRecord { area, campaign: known.campaign.then_some(self.campaign) };
        let done = self.on_phone(who, &Doing::Finishing(draft), |phone| phone.finish_as(draft, &new))?;
        if let Some(core) = done {
            self.devices[who].memory.forget(draft);
            self.finished(who, &known, core)?;
        }
        Ok(())
    }

    /// Drafts that were gone after a crash must be in a record.
    fn find_unseen(&mut self, who: usize) -> Result<(), Failure> {
        for draft in std::mem::take(&mut self.devices[who].finished_unseen) {
            let answers = fold(&draft.journal);
            let core = match (draft.record, draft.subject, draft.campaign) {
                (Some(record), ..) => Some(record),
                (None, Some(subject), true) => {
                    Identity::keyed(draft.form, &[self.campaign, subject]).derived_id(&self.tenant_key)
                }
                _ => self.search(who, &draft, &answers)?,
            };
            match core {
                Some(core) => self.finished(who, &draft, core)?,
                // an empty form makes no record
                None if !answers.values().any(is_unique) => {}
                None => return Failure::err("I1", format!("phone {who}: a finished draft is nowhere: {answers:?}")),
            }
        }
        Ok(())
    }

    fn search(
        &self,
        who: usize,
        draft: &Draft,
        answers: &BTreeMap<String, Value>,
    ) -> Result<Option<RecordId>, Failure> {
        for row in self.devices[who].rows(Some(draft.form))? {
            for (key, value) in answers.iter().filter(|(_, v)| is_unique(v)) {
                if self.devices[who].has(self.document(draft.form, row.id, key)?, key, value)? {
                    return Ok(Some(row.id));
                }
            }
        }
        Ok(None)
    }

    /// Enters finished answers into the account; they must be in the record already.
    fn finished(&mut self, who: usize, draft: &Draft, core: RecordId) -> Result<(), Failure> {
        self.note(&format!("phone {who} finished {} {core}: {:?}", draft.form, draft.journal));
        count(&mut self.out.work, "forms finished", 1);
        let mut written: BTreeMap<RecordId, Vec<(String, Value)>> = BTreeMap::new();
        for (key, value) in fold(&draft.journal) {
            written.entry(self.document(draft.form, core, &key)?).or_default().push((key, value));
        }
        for (document, answers) in written {
            let mut seen = draft.shown.get(&document).cloned().unwrap_or_default();
            seen.extend(self.devices[who].memory.own.get(&document).cloned().unwrap_or_default());
            self.enter(who, document, answers, seen)?;
        }
        Ok(())
    }

    fn enter(
        &mut self,
        who: usize,
        record: RecordId,
        answers: Vec<(String, Value)>,
        seen: BTreeSet<String>,
    ) -> Result<(), Failure> {
        let device: &mut Device = &mut self.devices[who];
        let stored = device.phone()?.store().record(record)?;
        let own = device.memory.own.entry(record).or_default();
        own.extend(seen.iter().cloned());
        for (key, value) in answers {
            own.insert(text(&value));
            if !stored.as_ref().is_some_and(|r| has(r, &key, &value)) {
                return Failure::err(
                    "I1",
                    format!("phone {who}: {key} = {value:?} was finished and isn't in {record}"),
                );
            }
            let unique = is_unique(&value);
            let seen = seen.clone();
            self.finished.push(Finished { phone: who, record, key, value, unique, seen, lost: false });
        }
        Ok(())
    }

    /// A helper decides a difference.
    fn resolve(&mut self, who: usize) -> Result<(), Failure> {
        let store = self.devices[who].phone()?.store().clone();
        let mut open = Vec::new();
        for row in self.devices[who].rows(None)? {
            if row.differences > 0 {
                let Some(record) = store.record(row.id)? else { continue };
                let seen = visible(&record);
                open.extend(record.view().differences.into_iter().map(|d| (row.id, d, seen.clone())));
            }
        }
        drop(store);
        let Some(index) = self.dice.index(open.len()) else { return Ok(()) };
        let (record, difference, mut seen) = open.swap_remove(index);
        let chosen = self.dice.pick(&difference.values).map(|v| v.value.clone());
        let value = match chosen {
            Some(value) if self.dice.chance(70) => value,
            _ if difference.key == "income_wages" => self.number(),
            _ if difference.key.ends_with("/@deleted") => Value::Bool(true),
            _ => self.token(),
        };
        let key = difference.key.clone();
        let done = self.on_phone(who, &Doing::Nothing, |phone| phone.resolve(record, &key, &value))?;
        count(&mut self.out.work, "differences decided", 1);
        seen.extend(self.devices[who].memory.own.get(&record).cloned().unwrap_or_default());
        let happened = done.is_some() || {
            let now = self.devices[who].phone()?.store().record(record)?;
            now.is_some_and(|r| !r.view().differences.iter().any(|d| d.key == key))
        };
        if happened {
            self.enter(who, record, vec![(key, value)], seen)?;
        }
        Ok(())
    }
}
