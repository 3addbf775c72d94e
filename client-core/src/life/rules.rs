//! What each kind of event writes.

use super::{Answers, Effects, EventKind, Households, LifeEvent, MadeHousehold, Persons, asked, order_of, text, told};
use crate::form::{AnswerKey, ListColumns};
use crate::id::RecordId;
use crate::record::Value;
use crate::record::key::Leaf;

/// What an event writes to the households that it is about: nothing for one that was taken back, whose day isn't answered, or
/// that names nobody who is there.
pub fn effects(event: &LifeEvent<'_>, households: &Households<'_>) -> Effects {
    let (Some(kind), Some(day)) = (event.kind(), event.day()) else { return Effects::default() };
    let columns = &households.form.list;
    let own = Persons { columns, answers: households.own.1 };
    let mut draft = Draft { event, households, day, columns, own, effects: Effects::default() };
    draft.effects.changed.insert(households.own.0, Answers::from([(event.mark(), Value::Bool(true))]));
    match kind {
        EventKind::Birth => draft.newcomer("birth"),
        EventKind::MarriageIn => draft.newcomer("marriage"),
        EventKind::MemberIn => draft.newcomer("moved_in"),
        EventKind::Death => draft.leavers("death"),
        EventKind::MarriageOut => draft.leavers("marriage"),
        EventKind::MemberOut => draft.leavers("moved_out"),
        EventKind::HouseholdMove => draft.relocate(),
        EventKind::HouseholdSplit => draft.split(),
        EventKind::HouseholdUnion => draft.unite(),
        EventKind::NewHead => {}
        EventKind::HouseholdEnd => draft.end(),
    }
    if let Some(new) = text(event.answers, asked::NEW_HEAD) {
        draft.new_head(new);
    }
    draft.effects
}

struct Draft<'a> {
    event: &'a LifeEvent<'a>,
    households: &'a Households<'a>,
    day: &'a str,
    columns: &'a ListColumns,
    own: Persons<'a>,
    effects: Effects,
}

impl Draft<'_> {
    fn own_id(&self) -> RecordId {
        self.households.own.0
    }

    /// Writes an answer, if the household's form has the question.
    fn write(&mut self, household: RecordId, key: String, value: Value) {
        if self.households.form.class_of(&key).is_some() {
            self.effects.changed.entry(household).or_default().insert(key, value);
        }
    }

    fn say(&mut self, household: RecordId, person: &str, question: &str, value: impl Into<Value>) {
        if !question.is_empty() {
            self.write(household, self.own.key(person, question), value.into());
        }
    }

    fn joins(&mut self, person: &str, why: &str) {
        let (own, columns) = (self.own_id(), self.columns);
        self.say(own, person, &columns.joined, self.day);
        self.say(own, person, told::JOINED_WHY, why);
        self.say(own, person, "@order", order_of(self.day));
    }

    fn leaves(&mut self, household: RecordId, person: &str, why: &str) {
        let columns = self.columns;
        self.say(household, person, &columns.absent, self.day);
        self.say(household, person, told::LEFT_WHY, why);
    }

    /// A new person: the event's answers to questions that are asked of persons.
    fn newcomer(&mut self, why: &str) {
        let person = self.event.new_person("");
        let own = self.own_id();
        for (key, value) in self.event.answers {
            let plain = AnswerKey::parse(key).is_some_and(|parsed| parsed.instances.is_empty());
            if plain && !matches!(value, Value::Blank | Value::Bool(false)) {
                self.say(own, &person, key, value.clone());
            }
        }
        if why == "birth" && !self.event.answers.contains_key(told::BIRTH) {
            self.say(own, &person, told::BIRTH, self.day);
        }
        self.joins(&person, why);
    }

    /// The persons whom the event names.
    fn named(&self) -> Vec<String> {
        let one = text(self.event.answers, asked::MEMBER).map(str::to_owned);
        let ticked = self.event.answers.iter().filter(|(_, value)| **value == Value::Bool(true));
        let several = ticked.filter_map(|(key, _)| match AnswerKey::parse(key)?.leaf {
            Leaf::Tick { question: asked::MEMBERS, choice } => Some(choice.to_owned()),
            _ => None,
        });
        one.into_iter().chain(several).filter(|person| self.own.is_there(person)).collect()
    }

    fn leavers(&mut self, why: &str) {
        for person in self.named() {
            self.leaves(self.own_id(), &person, why);
        }
    }

    /// The household's whereabouts become those of the event; what isn't answered there isn't known any more.
    fn relocate(&mut self) {
        for name in self.event.form.event_carries() {
            let value = self.event.answers.get(name).cloned().unwrap_or(Value::Blank);
            self.write(self.own_id(), name.to_owned(), value);
        }
    }

    /// Those whom the event names leave, and are the persons of a new household.
    fn split(&mut self) {
        let persons = self.named();
        let Some(identity) = self.event.made_household(&self.households.form.record_type) else { return };
        if persons.is_empty() {
            return;
        }
        let head = text(self.event.answers, asked::SPLIT_HEAD).filter(|head| persons.iter().any(|p| p == head));
        let mut made = Answers::from([(self.event.mark(), Value::Bool(true))]);
        for name in self.event.form.event_carries() {
            made.extend(self.carried(name));
        }
        if let Some(name) = head.and_then(|head| self.own.answers.get(&self.own.key(head, told::NAME))) {
            made.insert(self.columns.title.clone(), name.clone());
        }
        for person in &persons {
            self.leaves(self.own_id(), person, "split");
            let relation = if head == Some(person) { Some(told::HEAD) } else { self.relation_of(person) };
            made.extend(self.copy(self.own, person, person, relation));
            let mut say = |question: &str, value: &str| {
                made.insert(self.own.key(person, question), value.into());
            };
            say(&self.columns.joined, self.day);
            say(told::JOINED_WHY, "split");
        }
        made.retain(|key, _| self.households.form.class_of(key).is_some());
        self.effects.made = Some(MadeHousehold { identity, answers: made });
    }

    /// What a new household takes over: the event's answer where it gives one, else that of the household that stays.
    fn carried(&self, name: &str) -> Answers {
        let of = |answers: &Answers| -> Answers {
            let is_meant = |key: &str| key.split_once('=').map_or(key, |(question, _)| question) == name;
            let said = |value: &Value| !matches!(value, Value::Blank | Value::Bool(false));
            let found = answers.range(name.to_owned()..).take_while(|(key, _)| key.starts_with(name));
            found.filter(|(key, v)| is_meant(key) && said(v)).map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        let answered = of(self.event.answers);
        if answered.is_empty() { of(self.own.answers) } else { answered }
    }

    /// The relation to the new head that the event's repeat gives for a person.
    fn relation_of(&self, person: &str) -> Option<&str> {
        let mut places = self.event.answers.iter().filter_map(|(key, value)| {
            let place = key.strip_suffix(asked::MOVED_MEMBER)?;
            (*value == Value::Text(person.to_owned())).then_some(place)
        });
        places.find_map(|place| text(self.event.answers, &format!("{place}{}", asked::MOVED_RELATION)))
    }

    /// A person's answers under another instance, but for those that say how the person belongs to the household.
    fn copy(&self, from: Persons<'_>, person: &str, to: &str, relation: Option<&str>) -> Answers {
        let columns = self.columns;
        let own =
            [columns.joined.as_str(), &columns.absent, told::JOINED_WHY, told::LEFT_WHY, told::RELATION, "@deleted"];
        let copied = from.answers_of(person).filter(|(rest, value)| !own.contains(rest) && **value != Value::Blank);
        let mut answers: Answers = copied.map(|(rest, value)| (self.own.key(to, rest), value.clone())).collect();
        if let Some(relation) = relation {
            answers.insert(self.own.key(to, told::RELATION), relation.into());
        }
        answers
    }

    /// The other household's persons become persons of this one, and it ends.
    fn unite(&mut self) {
        let Some((other_id, answers)) = self.households.other.filter(|(id, _)| *id != self.own_id()) else { return };
        let other = Persons { columns: self.columns, answers };
        self.write(other_id, self.event.mark(), Value::Bool(true));
        for person in other.present() {
            // somebody who belonged to this household once has a place in it already, whose days stay as they are
            let place = if self.own.is_there(person) { self.event.new_person(person) } else { person.to_owned() };
            let relation = text(self.event.answers, asked::OTHER_HEAD_RELATION).filter(|_| other.is_head(person));
            for (key, value) in self.copy(other, person, &place, relation) {
                self.write(self.own_id(), key, value);
            }
            self.joins(&place, "united");
            self.leaves(other_id, person, "united");
        }
        self.ends(other_id, "united");
    }

    fn end(&mut self) {
        let why = text(self.event.answers, asked::ENDED_WHY).unwrap_or_default().to_owned();
        let left_why = match why.as_str() {
            "died_out" => "death",
            "moved_away" => "moved_out",
            _ => "error",
        };
        for person in self.own.present() {
            self.leaves(self.own_id(), person, left_why);
        }
        self.ends(self.own_id(), &why);
    }

    fn ends(&mut self, household: RecordId, why: &str) {
        if !self.columns.ended.is_empty() {
            self.write(household, self.columns.ended.clone(), self.day.into());
            self.write(household, told::ENDED_WHY.to_owned(), why.into());
        }
    }

    /// Somebody who belongs to the household becomes its head; the former head's relation to the new one is as the event says.
    fn new_head(&mut self, new: &str) {
        let own = self.own_id();
        if !self.own.is_there(new) || self.named().iter().any(|leaver| leaver == new) {
            return;
        }
        if let Some(relation) = text(self.event.answers, asked::OLD_HEAD_RELATION).map(str::to_owned) {
            let heads = self.own.present().into_iter().filter(|person| self.own.is_head(person) && *person != new);
            for person in heads.collect::<Vec<_>>() {
                self.say(own, person, told::RELATION, relation.as_str());
            }
        }
        self.say(own, new, told::RELATION, told::HEAD);
        if let Some(name) = self.own.answers.get(&self.own.key(new, told::NAME)) {
            self.write(own, self.columns.title.clone(), name.clone());
        }
    }
}
