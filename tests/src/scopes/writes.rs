//! What people write on their phones, allowed or not.

use doorstep_core::client::filling::FillOptions;
use doorstep_core::client::{NewRecord, PhoneError};
use doorstep_core::id::{AreaId, Identity, RecordId};
use doorstep_core::record::{ChangeNote, Edit, FormRef};
use doorstep_core::store::{ListFilter, PlannedDocument};

use super::acts::SON;
use super::{History, House, Outcome, text};

impl History {
    /// A phone with a household that it shows; one that was made on it and hasn't arrived is noted where the phone has it.
    fn shown(&mut self) -> Outcome<Option<(usize, RecordId)>> {
        let index = self.any_phone();
        let filter = ListFilter { record_type: Some("household".into()), limit: 100, ..ListFilter::default() };
        let rows = self.phones[index].phone.list(filter).map_err(text)?;
        let Some(row) = self.dice.pick(&rows) else { return Ok(None) };
        let house = House { base: row.area, moves: Vec::new(), is_stored: false };
        self.houses.entry(row.id).or_insert(house);
        Ok(Some((index, row.id)))
    }

    /// Somebody writes into what their phone shows, or makes a visit of a household there.
    pub(super) fn write(&mut self) -> Outcome {
        let Some((index, household)) = self.shown()? else { return Ok(()) };
        let (core, hidden) = (self.canary(), self.canary());
        let (visits, also_hidden, also_status) = (self.dice.chance(50), self.dice.chance(50), self.dice.chance(20));
        let visit_date = ["2026-09-20", "2026-08-01", "2027-01-31"][self.dice.below(3) as usize];
        let phone = &self.phones[index].phone;
        if visits {
            let draft = phone.start("visit", Some(household)).map_err(text)?;
            for (key, value) in [("visit_date", visit_date), ("result", "met"), ("remark", core.as_str())] {
                phone.answer_text(draft, key, value).map_err(text)?;
            }
            let visit = phone.finish_as(draft, &NewRecord::default()).map_err(text)?;
            self.note(visit, "visit", household, core, index);
            return Ok(());
        }
        let draft = match phone.edit(household) {
            Ok(draft) => draft,
            // it reads only parts of the household
            Err(PhoneError::UnknownRecord) => return Ok(()),
            Err(error) => return Err(text(error)),
        };
        phone.answer_text(draft, "remark", &core).map_err(text)?;
        if also_hidden {
            phone.answer_text(draft, "phone", &hidden).map_err(text)?;
        }
        if also_status {
            // most roles may not: what else the change says is made anew without it
            phone.answer_text(draft, "status", "monitored").map_err(text)?;
        }
        phone.finish(draft).map_err(text)?;
        self.note(household, "household", household, core, index);
        if also_hidden {
            let part = self.part("household", "sensitive", household)?;
            self.note(part, "household.sensitive", household, hidden, index);
        }
        Ok(())
    }

    /// A phone writes into a household that it may never have had.
    pub(super) fn trespass(&mut self) -> Outcome {
        let index = self.any_phone();
        let Some(at) = self.dice.index(self.stored.len()) else { return Ok(()) };
        let (household, canary) = (self.stored[at], self.canary());
        let area = self.lies(household);
        let Some(stored) = self.service.storage.full_record(self.township, household).map_err(text)? else {
            return Err("a household that was registered is stored".to_owned());
        };
        let document = PlannedDocument {
            identity: stored.identity,
            id: household,
            area,
            subject: None,
            edits: vec![Edit::answer("remark", canary.as_str())],
        };
        self.put(index, document, None)?;
        self.note(household, "household", household, canary, index);
        Ok(())
    }

    /// A phone makes a household in any of the areas that it knows, allowed or not.
    pub(super) fn found(&mut self) -> Outcome {
        let index = self.any_phone();
        let areas = self.phones[index].phone.areas().map_err(text)?;
        let Some(entry) = self.dice.pick(&areas) else { return Ok(()) };
        let (id, area, canary) = (RecordId(self.dice.bytes()), entry.area, self.canary());
        let document = PlannedDocument {
            identity: Identity::of_type("household"),
            id,
            area,
            subject: None,
            edits: vec![
                Edit::answer("head_name", canary.as_str()),
                Edit::answer("household_no", format!("n{}", self.made.len()).as_str()),
                Edit::answer("status", "out"),
            ],
        };
        self.put(index, document, None)?;
        self.note(id, "household", id, canary, index);
        self.houses.insert(id, House { base: area, moves: Vec::new(), is_stored: false });
        Ok(())
    }

    /// A phone registers that a household that it shows moves.
    pub(super) fn phone_moves(&mut self) -> Outcome {
        let Some((index, household)) = self.shown()? else { return Ok(()) };
        let areas = self.phones[index].phone.areas().map_err(text)?;
        let below: Vec<_> = areas.iter().filter(|entry| entry.parent.is_some()).collect();
        let Some(to) = self.dice.pick(&below) else { return Ok(()) };
        let (day, note, area) = (self.day(), self.canary(), to.area);
        let (village, group) = match to.parent {
            Some(parent) if parent != self.township => (parent.to_string(), Some(area.to_string())),
            _ => (area.to_string(), None),
        };
        let mut answers = vec![("happened_on", day.as_str()), ("to_village", village.as_str())];
        answers.extend(group.as_deref().map(|group| ("to_group", group)));
        answers.push(("note", note.as_str()));
        let alone = [("happened_on", day.as_str()), ("to_area", &area.to_string()), ("note", &note)];
        let alone = alone.map(|(key, value)| Edit::answer(key, value));
        let event = self.happens(index, "household_move", household, &answers, alone.into())?;
        self.note(event, "household_move", household, note, index);
        self.phone_moves.push((event, household, day, area));
        self.done.phone_events += 1;
        Ok(())
    }

    /// A phone registers that the son of a household that it shows forms one of his own.
    pub(super) fn phone_splits(&mut self) -> Outcome {
        let Some((index, household)) = self.shown()? else { return Ok(()) };
        if !self.whole.contains(&household) {
            return Ok(());
        }
        self.whole.retain(|whole| *whole != household);
        let (day, note) = (self.day(), self.canary());
        let head = ("split_head", SON);
        let answers = [("happened_on", day.as_str()), ("members", SON), head, ("note", note.as_str())];
        let alone = [("happened_on", day.as_str()), head, ("note", &note)];
        let mut alone = Vec::from(alone.map(|(key, value)| Edit::answer(key, value)));
        alone.push(Edit::answer(format!("members={SON}"), true));
        let event = self.happens(index, "household_split", household, &answers, alone)?;
        self.note(event, "household_split", household, note, index);
        self.done.phone_events += 1;
        Ok(())
    }

    /// Fills an event's form as on a screen. Where that doesn't go (the phone's clock stands before the event's day, or it has
    /// only parts of the household), the event is written alone, as an old program does.
    fn happens(
        &self,
        index: usize,
        form: &str,
        household: RecordId,
        answers: &[(&str, &str)],
        alone: Vec<Edit>,
    ) -> Outcome<RecordId> {
        let phone = &self.phones[index].phone;
        let draft = phone.start(form, Some(household)).map_err(text)?;
        let filled = phone.fill(draft, FillOptions::default()).and_then(|mut filling| {
            for (question, answer) in answers {
                let Some(spot) = filling.session().spot(question) else { return Ok(None) };
                filling.answer(spot, answer)?;
            }
            phone.finish_filled(filling, &NewRecord::default()).map(Some)
        });
        if let Ok(Some(event)) = filled {
            return Ok(event);
        }
        phone.discard(draft).map_err(text)?;
        let document = PlannedDocument {
            identity: Identity::of_type(form),
            id: RecordId(self.dice.bytes()),
            area: self.lies(household),
            subject: Some(household),
            edits: alone,
        };
        let id = document.id;
        self.put(index, document, Some(FormRef { name: form.into(), version: 1 }))?;
        Ok(id)
    }

    fn put(&self, index: usize, document: PlannedDocument, form: Option<FormRef>) -> Outcome {
        let user = self.people[self.phones[index].person].user;
        let note = ChangeNote { is_complete: form.is_some(), form, ..ChangeNote::by(user) };
        self.phones[index].phone.store().write(&[document], &note).map_err(text)?;
        Ok(())
    }

    /// Where a household lies by all moves that the server took: the one of the last day says it.
    pub(super) fn lies(&self, household: RecordId) -> AreaId {
        let Some(house) = self.houses.get(&household) else { return self.township };
        self.became(house.moves.iter().max().map_or(house.base, |(_, area)| *area))
    }
}
