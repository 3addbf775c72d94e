//! What the office does to the township: areas that change and unite, households that are registered, move and split, people
//! who are erased.

use std::collections::BTreeMap;

use doorstep_core::id::{AreaId, Identity, RecordId};
use doorstep_server::service::audit::Actor;
use doorstep_server::service::erasure::Erase;
use doorstep_server::service::life::NewEvent;
use doorstep_server::service::office::FormInstance;
use doorstep_server::storage::{Move, RecordFilter};

use super::{History, House, OFFICE, Outcome, area_entries, text};

/// The member that leaves a household when it splits.
pub(super) const SON: &str = "00000000000000000000000000000002";
/// The member that stays, and may be erased.
const HEAD: &str = "00000000000000000000000000000001";

impl History {
    /// The office registers a household.
    pub(super) fn register(&mut self) -> Outcome {
        let (id, area) = (RecordId(self.dice.bytes()), self.any_area());
        let [core, head, hidden, office] = [(); 4].map(|()| self.canary());
        let answers = vec![
            ("head_name".to_owned(), core.as_str().into()),
            ("household_no".to_owned(), format!("n{}", self.made.len()).into()),
            ("status".to_owned(), "out".into()),
            ("phone".to_owned(), hidden.as_str().into()),
            ("office_note".to_owned(), office.as_str().into()),
            (format!("member#{HEAD}/name"), head.as_str().into()),
            (format!("member#{HEAD}/relation"), "head".into()),
            (format!("member#{SON}/name"), "B".into()),
            (format!("member#{SON}/relation"), "son".into()),
        ];
        let identity = Identity::of_type("household");
        self.office.write(&[FormInstance { id, identity, area, subject: None, answers }]).map_err(text)?;
        self.note(id, "household", id, core, OFFICE);
        self.note(id, "household", id, head, OFFICE);
        for (class, canary) in [("sensitive", hidden), ("office", office)] {
            let part = self.part("household", class, id)?;
            self.note(part, &format!("household.{class}"), id, canary, OFFICE);
        }
        self.houses.insert(id, House { base: area, moves: Vec::new(), is_stored: true });
        self.stored.push(id);
        self.whole.push(id);
        self.with_head.push(id);
        Ok(())
    }

    /// A household moves, with all about it.
    pub(super) fn relocate(&mut self) -> Outcome {
        let Some(at) = self.dice.index(self.stored.len()) else { return Ok(()) };
        let (record, area, day) = (self.stored[at], self.any_area(), self.day());
        if self.lies(record) == area {
            return Ok(());
        }
        self.office.move_records(vec![Move::by_office(record, area, day.as_str())]).map_err(text)?;
        self.moved(record, (day, area))
    }

    pub(super) fn moved(&mut self, household: RecordId, moved: (String, AreaId)) -> Outcome {
        self.say(format!("{household} moves {moved:?}"));
        let house = self.houses.get_mut(&household).ok_or("a household that is known")?;
        house.moves.push(moved);
        self.done.moves += 1;
        Ok(())
    }

    /// A group comes under another village.
    pub(super) fn rehang(&mut self) -> Outcome {
        let (villages, groups): (Vec<_>, Vec<_>) = self.parents.iter().partition(|(_, p)| **p == self.township);
        let (Some((group, _)), Some((village, _))) = (self.dice.pick(&groups), self.dice.pick(&villages)) else {
            return Ok(());
        };
        let (group, village, day) = (**group, **village, self.day());
        self.say(format!("{group:?} comes under {village:?}"));
        self.parents.insert(group, village);
        let entries = area_entries(self.township, &self.parents);
        let entry = entries.into_iter().find(|e| e.area == group).ok_or("the group is there")?;
        self.service.change_area(Actor::CommandLine, self.township, entry, &day).map_err(text)
    }

    /// What an area is by now.
    pub(super) fn became(&self, mut area: AreaId) -> AreaId {
        while let Some(into) = self.united.get(&area) {
            area = *into;
        }
        area
    }

    /// An area goes into another one.
    pub(super) fn unite(&mut self) -> Outcome {
        let (from, into) = (self.any_area(), self.any_area());
        if self.parents.len() < 3 || self.lies_in(into, from) {
            return Ok(());
        }
        let (both, day) = ((from, into), self.day());
        self.say(format!("areas unite: {both:?}"));
        self.service.merge_area(&self.office, Actor::CommandLine, self.township, both, &day).map_err(text)?;
        self.parents.remove(&from);
        self.parents.values_mut().filter(|area| **area == from).for_each(|area| *area = into);
        let held = self.people.iter_mut().flat_map(|person| person.grants.values_mut());
        held.filter(|given| given.area == from).for_each(|given| given.area = into);
        self.united.insert(from, into);
        Ok(())
    }

    /// The office registers that a household's son forms a household of his own.
    pub(super) fn split(&mut self) -> Outcome {
        let Some(at) = self.dice.index(self.whole.len()) else { return Ok(()) };
        let (household, note) = (self.whole.swap_remove(at), self.canary());
        let answers = [("members", SON), ("split_head", SON), ("note", note.as_str())];
        let answers: BTreeMap<String, String> = answers.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let event = NewEvent { form: "household_split".to_owned(), household, answers };
        let event = self.service.record_event(self.township, &event).map_err(text)?;
        self.note(event, "household_split", household, note, OFFICE);
        self.learn()
    }

    /// A head of household is erased: the name goes everywhere, and answers of these records that others took the place of.
    pub(super) fn erase(&mut self) -> Outcome {
        let Some(at) = self.dice.index(self.with_head.len()) else { return Ok(()) };
        let household = self.with_head.swap_remove(at);
        self.say(format!("the head of {household} is erased"));
        let before = self.on_server()?;
        let ground = "asked for".to_owned();
        let erase = Erase { household, member: HEAD.to_owned(), also: Vec::new(), ground };
        self.service.erase(Actor::CommandLine, self.township, &erase).map_err(text)?;
        let after = self.on_server()?;
        self.gone.extend(before.difference(&after).cloned());
        self.done.erased += 1;
        Ok(())
    }

    /// Takes note of what came into being with what others did: households, their moves by events, pairings.
    pub(super) fn learn(&mut self) -> Outcome {
        let filter =
            RecordFilter { record_type: Some("household".to_owned()), limit: 10_000, ..RecordFilter::default() };
        for row in self.service.storage.list_records(self.township, &filter).map_err(text)? {
            let house = House { base: row.area, moves: Vec::new(), is_stored: false };
            let house = self.houses.entry(row.id).or_insert(house);
            if !house.is_stored {
                (house.base, house.is_stored) = (row.area, true);
                self.stored.push(row.id);
            }
        }
        for (event, household, day, area) in std::mem::take(&mut self.phone_moves) {
            if self.service.storage.record_row(self.township, event).map_err(text)?.is_some() {
                self.moved(household, (day, area))?;
            } else {
                self.phone_moves.push((event, household, day, area));
            }
        }
        self.learn_grants()?;
        self.remember();
        Ok(())
    }
}
