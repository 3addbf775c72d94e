//! How likely two households, or two persons, are the same: points for what agrees, with the reasons.

use super::{Candidate, Household, Person};

/// Points from which two are candidates.
const LEAST: u32 = 40;
/// Points that say "the same" as surely as they can.
const MOST: u32 = 100;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $code:literal, $points:literal;)*) => {
        /// Why two may be the same.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code; `duplicates.CODE` in `messages/pages.json` has its words.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What it weighs.
            fn points(self) -> i32 {
                match self { $(Self::$name => $points,)* }
            }
        }
    };
}

reasons! {
    /// The same ID number.
    IdNumber => "id_number", 60;
    /// The same number in the national register.
    Number => "number", 45;
    /// Two or more of the same persons.
    Persons => "persons", 45;
    /// One of the same persons.
    Person => "person", 30;
    /// The same date of birth.
    Birth => "birth", 25;
    /// The same name.
    Name => "name", 15;
    /// The heads have the same name.
    Head => "head", 20;
    /// The same phone number.
    Phone => "phone", 15;
    /// The same address.
    Address => "address", 15;
    /// The same village.
    Village => "village", 10;
    /// The same year of birth.
    BirthYear => "birth_year", 5;
    /// The same relation to the head.
    Relation => "relation", 3;
    /// Different ID numbers speak against it.
    OtherIdNumber => "other_id_number", -40;
}

fn sum(reasons: &[Reason]) -> u32 {
    let points: i32 = reasons.iter().map(|reason| reason.points()).sum();
    u32::try_from(points).unwrap_or(0).min(MOST)
}

fn same(one: &str, other: &str) -> bool {
    !one.is_empty() && one == other
}

fn places(one: &Household, other: &Household) -> impl Iterator<Item = Reason> {
    let village = (one.area == other.area).then_some(Reason::Village);
    let address = same(&one.address, &other.address).then_some(Reason::Address);
    village.into_iter().chain(address)
}

/// What two persons share.
fn persons(one: &Person, other: &Person) -> Vec<Reason> {
    let mut reasons = Vec::new();
    match (&one.id_number, &other.id_number) {
        (Some(a), Some(b)) if a == b => reasons.push(Reason::IdNumber),
        (Some(_), Some(_)) => reasons.push(Reason::OtherIdNumber),
        _ => {}
    }
    if same(&one.name, &other.name) {
        reasons.push(Reason::Name);
    }
    if same(&one.birth, &other.birth) {
        reasons.push(Reason::Birth);
    } else if one.birth.get(..4).is_some_and(|year| other.birth.get(..4) == Some(year)) {
        reasons.push(Reason::BirthYear);
    }
    if same(&one.relation, &other.relation) {
        reasons.push(Reason::Relation);
    }
    reasons
}

/// True when two persons are one as far as their own answers go.
fn agree(one: &Person, other: &Person) -> bool {
    sum(&persons(one, other)) >= LEAST
}

fn candidate(
    (one, first): (&Household, Option<&Person>),
    (other, second): (&Household, Option<&Person>),
    mut reasons: Vec<Reason>,
) -> Option<Candidate> {
    let score = sum(&reasons);
    if score < LEAST {
        return None;
    }
    reasons.sort_unstable_by_key(|reason| (-reason.points().abs(), *reason));
    let name = |household: &Household, person: Option<&Person>| {
        person.map_or_else(|| household.head.clone(), |person| person.shown.clone())
    };
    Some(Candidate {
        sides: (one.side(first)?, other.side(second)?),
        names: (name(one, first), name(other, second)),
        areas: (one.area?, other.area?),
        score,
        reasons,
    })
}

/// Two households as candidates; or, where they aren't, those of their members who may be one person.
pub(super) fn pair(one: &Household, other: &Household) -> Vec<Candidate> {
    let mut reasons: Vec<Reason> = places(one, other).collect();
    let common: Vec<(&Person, &Person)> =
        one.persons.iter().filter_map(|a| other.persons.iter().find(|b| agree(a, b)).map(|b| (a, b))).collect();
    match common.len() {
        0 => {}
        1 => reasons.push(Reason::Person),
        _ => reasons.push(Reason::Persons),
    }
    if same(&super::plain(&one.head), &super::plain(&other.head)) {
        reasons.push(Reason::Head);
    }
    if one.phone.is_some() && one.phone == other.phone {
        reasons.push(Reason::Phone);
    }
    if same(&one.number, &other.number) {
        reasons.push(Reason::Number);
    }
    // somebody who married or moved stands in two households that aren't one
    let is_one = reasons.iter().any(|r| matches!(r, Reason::Head | Reason::Number | Reason::Persons));
    if is_one && let Some(candidate) = candidate((one, None), (other, None), reasons) {
        return vec![candidate];
    }
    let members = common.into_iter().filter_map(|(a, b)| {
        let reasons = persons(a, b).into_iter().chain(places(one, other)).collect();
        candidate((one, Some(a)), (other, Some(b)), reasons)
    });
    members.collect()
}

/// Persons who stand twice in one household.
pub(super) fn within(household: &Household) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (n, one) in household.persons.iter().enumerate() {
        for other in household.persons[n + 1..].iter().filter(|other| agree(one, other)) {
            found.extend(candidate((household, Some(one)), (household, Some(other)), persons(one, other)));
        }
    }
    found
}
