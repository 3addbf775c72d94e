//! What an event needs and isn't at hand: until it is, nothing is written of what follows.

use super::{EventKind, Households, LifeEvent, Persons, asked, text};
use crate::form::AnswerKey;
use crate::record::Value;
use crate::record::key::Leaf;

/// What is lacking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// The day on which it happened isn't answered.
    Day,
    /// The household that joins isn't there.
    OtherHousehold,
    /// Somebody whom the event names isn't a person of the household.
    Person,
}

/// What an event lacks to be applied to these households; `None` for one that was taken back.
pub fn lacking(event: &LifeEvent<'_>, households: &Households<'_>) -> Option<Lack> {
    let kind = event.kind()?;
    if event.day().is_none() {
        return Some(Lack::Day);
    }
    if kind == EventKind::HouseholdUnion && households.other.is_none() {
        return Some(Lack::OtherHousehold);
    }
    let own = Persons { columns: &households.form.list, answers: households.own.1 };
    let is_lacking = event.names(kind).iter().any(|person| !own.is_there(person));
    is_lacking.then_some(Lack::Person)
}

/// True when the persons of the household that joins are persons of the other one already; also when none joins.
pub fn is_united(households: &Households<'_>) -> bool {
    let columns = &households.form.list;
    let own = Persons { columns, answers: households.own.1 };
    let other = households.other.map(|(_, answers)| Persons { columns, answers });
    other.is_none_or(|other| other.present().into_iter().all(|person| own.is_there(person)))
}

impl LifeEvent<'_> {
    /// The persons whom the event names, there or not.
    fn names(&self, kind: EventKind) -> Vec<&str> {
        use EventKind::{Death, HouseholdSplit, MarriageOut, MemberOut};
        let new_head = text(self.answers, asked::NEW_HEAD);
        if !matches!(kind, Death | MarriageOut | MemberOut | HouseholdSplit) {
            return new_head.into_iter().collect();
        }
        let ticked = self.answers.iter().filter(|(_, value)| **value == Value::Bool(true));
        let several = ticked.filter_map(|(key, _)| match AnswerKey::parse(key)?.leaf {
            Leaf::Tick { question: asked::MEMBERS, choice } => Some(choice),
            _ => None,
        });
        text(self.answers, asked::MEMBER).into_iter().chain(several).chain(new_head).collect()
    }
}
