//! Events in the life of households: births, deaths, marriages, moves, splits, unions, new heads, dissolutions. What such an
//! event does to the register, decided in one place for phones and server. No I/O, no clock.
//!
//! An event is a record of its own, made with a form whose settings name its kind (`doorstep::event`). [`effects`] says what it
//! writes to the households that it is about. Everything there follows from the event's record and the households' answers:
//! ids of new persons and households are derived, so that whoever applies the same event to the same household writes the
//! same keys and values. A household that an event was applied to says so by a tick of the reserved question [`EVENTS`].

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::form::check::is_date;
use crate::form::expression::days_from_civil;
use crate::form::index::EVENTS;
use crate::form::{AnswerKey, Form, FormDef, ListColumns};
use crate::id::{AreaId, Identity, RecordId};
use crate::record::Value;

mod correct;
mod lacking;
mod rules;
#[cfg(test)]
mod tests;

pub use correct::{Touched, Written, corrected};
pub use lacking::{Lack, is_united, lacking};
pub use rules::effects;

/// Answers by key.
pub type Answers = BTreeMap<String, Value>;

/// The settings column that names the kind of event that a form's records are.
pub const EVENT_SETTING: &str = "doorstep::event";
/// The settings column with the household's questions that a move changes and a split takes over, separated by spaces.
pub const CARRIES_SETTING: &str = "doorstep::event_carries";

/// The questions that an event's form may have, beside those of the household's persons.
mod asked {
    pub(super) const DAY: &str = "happened_on";
    pub(super) const WITHDRAWN: &str = "withdrawn";
    pub(super) const MEMBER: &str = "member";
    pub(super) const MEMBERS: &str = "members";
    pub(super) const NEW_HEAD: &str = "new_head";
    pub(super) const OLD_HEAD_RELATION: &str = "old_head_relation";
    pub(super) const TO_AREA: &str = "to_area";
    pub(super) const OTHER_HOUSEHOLD: &str = "other_household";
    pub(super) const OTHER_HEAD_RELATION: &str = "other_head_relation";
    pub(super) const SPLIT_HEAD: &str = "split_head";
    pub(super) const MOVED_MEMBER: &str = "/moved_member";
    pub(super) const MOVED_RELATION: &str = "/moved_relation";
    pub(super) const ENDED_WHY: &str = "ended_why";
}

/// The questions of the household's form that events write, beside those that its settings name.
mod told {
    pub(super) const NAME: &str = "name";
    pub(super) const BIRTH: &str = "birth";
    pub(super) const RELATION: &str = "relation";
    pub(super) const HEAD: &str = "head";
    pub(super) const JOINED_WHY: &str = "joined_why";
    pub(super) const LEFT_WHY: &str = "left_why";
    pub(super) const ENDED_WHY: &str = "ended_why";
}

macro_rules! event_kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum EventKind {
            $($(#[$doc])* $name,)*
        }

        impl EventKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name in a form's settings.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The kind of this name.
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

event_kinds! {
    /// A child was born.
    Birth = "birth",
    /// Somebody died.
    Death = "death",
    /// Somebody married into the household.
    MarriageIn = "marriage_in",
    /// Somebody married out of it.
    MarriageOut = "marriage_out",
    /// Somebody moved in.
    MemberIn = "member_in",
    /// Some moved out.
    MemberOut = "member_out",
    /// The household moved to another village or group.
    HouseholdMove = "household_move",
    /// Some of it form a new household.
    HouseholdSplit = "household_split",
    /// Another household joined it.
    HouseholdUnion = "household_union",
    /// It has a new head.
    NewHead = "new_head",
    /// It doesn't exist any more.
    HouseholdEnd = "household_end",
}

impl FormDef {
    /// The kind of event that the form's records are; `None` for other forms.
    pub fn event(&self) -> Option<EventKind> {
        EventKind::named(self.settings.get(EVENT_SETTING)?.as_str()?)
    }

    fn event_carries(&self) -> impl Iterator<Item = &str> {
        let names = self.settings.get(CARRIES_SETTING).and_then(|names| names.as_str()).unwrap_or_default();
        names.split([' ', ',']).filter(|name| !name.is_empty())
    }
}

/// An event as its record says it.
#[derive(Debug, Clone, Copy)]
pub struct LifeEvent<'a> {
    /// The event's record.
    pub id: RecordId,
    /// Its form.
    pub form: &'a FormDef,
    /// Its answers, those of all classes that are at hand.
    pub answers: &'a Answers,
}

impl LifeEvent<'_> {
    /// What happened; `None` when the form isn't one of events, or the event was taken back.
    pub fn kind(&self) -> Option<EventKind> {
        let withdrawn = match self.answers.get(asked::WITHDRAWN) {
            Some(Value::Bool(withdrawn)) => *withdrawn,
            Some(Value::Text(text)) => text == "OK",
            _ => false,
        };
        self.form.event().filter(|_| !withdrawn)
    }

    /// The day on which it happened, `YYYY-MM-DD`; `None` where that isn't answered.
    pub fn day(&self) -> Option<&str> {
        text(self.answers, asked::DAY).filter(|day| is_date(day))
    }

    /// The other household that it is about: of a union, the one that joins.
    pub fn other_household(&self) -> Option<RecordId> {
        self.kind().filter(|kind| *kind == EventKind::HouseholdUnion)?;
        text(self.answers, asked::OTHER_HOUSEHOLD)?.parse().ok()
    }

    /// Type and natural key of the household that it makes: of a split, the new one.
    pub fn made_household(&self, household_type: &str) -> Option<Identity> {
        self.kind().filter(|kind| *kind == EventKind::HouseholdSplit)?;
        Some(Identity::keyed(household_type, &[self.id]))
    }

    /// The answer that says in a household that this event was applied to it.
    pub fn mark(&self) -> String {
        AnswerKey::tick(EVENTS, &self.id.to_string())
    }

    /// The repeat instance of a person whom the event makes; `of` tells several apart.
    fn new_person(&self, of: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(b"doorstep/person/1");
        hash.update(self.id.0);
        hash.update(of);
        data_encoding::HEXLOWER.encode(&hash.finalize()[..8])
    }
}

/// The households that an event is about, as far as they are at hand.
#[derive(Debug, Clone, Copy)]
pub struct Households<'a> {
    /// Their form.
    pub form: &'a Form,
    /// The event's subject, with the answers of all its classes that are at hand.
    pub own: (RecordId, &'a Answers),
    /// The one that [`LifeEvent::other_household`] names.
    pub other: Option<(RecordId, &'a Answers)>,
}

/// What an event writes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effects {
    /// Answers of households that were there before.
    pub changed: BTreeMap<RecordId, Answers>,
    /// A new household.
    pub made: Option<MadeHousehold>,
}

/// A household that an event makes.
#[derive(Debug, Clone, PartialEq)]
pub struct MadeHousehold {
    /// Type and natural key; the id follows from them.
    pub identity: Identity,
    /// Its answers.
    pub answers: Answers,
}

/// A household that moves to another area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The household.
    pub record: RecordId,
    /// The area.
    pub area: AreaId,
    /// The first day there, `YYYY-MM-DD`.
    pub from_day: String,
}

/// The household that an event moves, with area and day. `household` is the event's subject.
pub fn placement(event: &LifeEvent<'_>, household: RecordId) -> Option<Placement> {
    event.kind().filter(|kind| *kind == EventKind::HouseholdMove)?;
    let area = text(event.answers, asked::TO_AREA)?.parse().ok()?;
    Some(Placement { record: household, area, from_day: event.day()?.to_owned() })
}

fn text<'a>(answers: &'a Answers, key: &str) -> Option<&'a str> {
    match answers.get(key) {
        Some(Value::Text(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// Where persons who joined on a day stand: after those who were there, by day.
fn order_of(day: &str) -> Value {
    let number = |range: std::ops::Range<usize>| day.get(range).and_then(|part| part.parse::<i64>().ok());
    let days = match (number(0..4), number(5..7), number(8..10)) {
        (Some(year), Some(month), Some(day)) => days_from_civil(year, month, day),
        _ => 0,
    };
    Value::Int(days)
}

/// The persons of a household.
#[derive(Clone, Copy)]
struct Persons<'a> {
    columns: &'a ListColumns,
    answers: &'a Answers,
}

impl<'a> Persons<'a> {
    fn key(self, person: &str, question: &str) -> String {
        AnswerKey::in_repeat(&self.columns.persons, person, question)
    }

    fn is_there(self, person: &str) -> bool {
        let removed = self.answers.get(&self.key(person, "@deleted")) == Some(&Value::Bool(true));
        !removed && self.answers.contains_key(&self.key(person, told::NAME))
    }

    fn is_present(self, person: &str) -> bool {
        self.is_there(person) && text(self.answers, &self.key(person, &self.columns.absent)).is_none()
    }

    /// Those who belong to the household now.
    fn present(self) -> Vec<&'a str> {
        let start = format!("{}#", self.columns.persons);
        let after = self.answers.range(start.clone()..).map(|(key, _)| key);
        let named = after
            .take_while(|key| key.starts_with(&start))
            .filter_map(|key| key.get(start.len()..)?.strip_suffix("/name"))
            .filter(|person| !person.contains('/'));
        named.filter(|person| self.is_present(person)).collect()
    }

    fn is_head(self, person: &str) -> bool {
        text(self.answers, &self.key(person, told::RELATION)) == Some(told::HEAD)
    }

    /// A person's answers, by what follows the instance in their keys.
    fn answers_of(self, person: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let start = format!("{}#{person}/", self.columns.persons);
        let after = self.answers.range(start.clone()..);
        after.map_while(move |(key, value)| Some((key.strip_prefix(&start)?, value)))
    }
}
