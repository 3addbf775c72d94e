//! Linking records that stand for the same household or the same person. No I/O, no clock.
//!
//! A link is an ordinary record of its own type; its natural key names the two that it is about, so that two people who link
//! the same two write one record, which merges like every other. Nothing of the linked records is changed: both histories
//! stay, and a link is taken back by another answer. Which households count as one follows from the links alone ([`unite`]),
//! whatever the order in which they came.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::id::{Identity, RecordId, first16};
use crate::record::{Edit, Value};

/// The type of links.
pub const LINK_TYPE: &str = "link";
/// The answer that says whether the two are the same: a [`Verdict`]'s name.
pub const VERDICT: &str = "verdict";
/// The answer with the id of the household that stands for both; blank: the one with the smaller id.
pub const LEADS: &str = "leads";

/// What was decided about two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They are the same.
    Same,
    /// They aren't.
    NotSame,
    /// Nothing (any more).
    Open,
}

impl Verdict {
    /// The name in answers and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::NotSame => "not_same",
            Self::Open => "open",
        }
    }

    /// From the name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Same, Self::NotSame, Self::Open].into_iter().find(|v| v.as_str() == name)
    }
}

/// One of the two that a link is about: a household, or one of its members.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Side {
    /// The household.
    pub household: RecordId,
    /// The member's repeat instance, such as `a1` of `member#a1`.
    pub member: Option<String>,
}

impl Side {
    /// A household as a whole.
    pub fn of(household: RecordId) -> Self {
        Self { household, member: None }
    }

    /// What a link's natural key says of the member; `None` for a household.
    pub fn member_part(&self) -> Option<RecordId> {
        let member = self.member.as_ref()?;
        let mut hash = Sha256::new();
        hash.update(b"doorstep/link-member/1");
        hash.update(self.household.0);
        hash.update(member);
        Some(RecordId(first16(&hash.finalize())))
    }
}

/// Type and natural key of the link of two; `None` for one and the same, and for a household with a member.
pub fn identity(one: &Side, other: &Side) -> Option<Identity> {
    let (first, second) = if one <= other { (one, other) } else { (other, one) };
    if first == second {
        return None;
    }
    let mut key = vec![first.household, second.household];
    match (first.member_part(), second.member_part()) {
        (None, None) => {}
        (Some(a), Some(b)) => key.extend([a, b]),
        _ => return None,
    }
    Some(Identity::keyed(LINK_TYPE, &key))
}

/// The answers of a link that say this.
pub fn edits(verdict: Verdict, leads: Option<RecordId>) -> Vec<Edit> {
    let leads = leads.filter(|_| verdict == Verdict::Same);
    let leads = leads.map_or(Value::Blank, |id| Value::Text(id.to_string()));
    vec![Edit::answer(VERDICT, verdict.as_str()), Edit::answer(LEADS, leads)]
}

/// A link as merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// The two households.
    pub households: (RecordId, RecordId),
    /// It is about members of them.
    pub of_members: bool,
    /// Everybody who decided says that they are the same.
    pub is_same: bool,
    /// Everybody who decided says that they aren't.
    pub is_not_same: bool,
    /// The household that is to stand for both.
    pub leads: Option<RecordId>,
}

impl Link {
    /// Reads a merged link; `None` for records of other types or keys. `answers` are those that readers see; `differs` says
    /// that people decided differently: then nothing is decided.
    pub fn read(identity: &Identity, answers: &BTreeMap<String, Value>, differs: bool) -> Option<Self> {
        let households = match identity.key.as_slice() {
            [a, b] | [a, b, _, _] if identity.record_type == LINK_TYPE => (*a, *b),
            _ => return None,
        };
        let text = |key: &str| match answers.get(key) {
            Some(Value::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        let verdict = text(VERDICT).and_then(Verdict::parse).filter(|_| !differs).unwrap_or(Verdict::Open);
        Some(Self {
            households,
            of_members: identity.key.len() == 4,
            is_same: verdict == Verdict::Same,
            is_not_same: verdict == Verdict::NotSame,
            leads: text(LEADS).and_then(|id| id.parse().ok()),
        })
    }
}

/// Which households are united into which: each that doesn't stand for itself, with the one that stands for it.
///
/// Households are one as far as links between them say so, over any number of steps. Of a group the one with the smallest id
/// stands for all, among those that its links name if they name any of the group. The order of the links counts for nothing.
pub fn unite<'a>(links: impl IntoIterator<Item = &'a Link>) -> BTreeMap<RecordId, RecordId> {
    let same = links.into_iter().filter(|link| link.is_same && !link.of_members);
    let mut group_of: BTreeMap<RecordId, usize> = BTreeMap::new();
    let mut groups: Vec<(BTreeSet<RecordId>, BTreeSet<RecordId>)> = Vec::new();
    for link in same {
        let (a, b) = link.households;
        let mut known: Vec<usize> = [a, b].iter().filter_map(|id| group_of.get(id).copied()).collect();
        known.sort_unstable_by_key(|group| std::cmp::Reverse(groups[*group].0.len()));
        known.dedup();
        let into = known.first().copied().unwrap_or_else(|| {
            groups.push(Default::default());
            groups.len() - 1
        });
        let from = known.get(1).map(|group| std::mem::take(&mut groups[*group])).unwrap_or_default();
        for id in from.0.into_iter().chain([a, b]) {
            group_of.insert(id, into);
            groups[into].0.insert(id);
        }
        groups[into].1.extend(from.1.into_iter().chain(link.leads));
    }
    let mut united = BTreeMap::new();
    for (members, named) in &groups {
        let leads = named.intersection(members).next().or_else(|| members.first());
        let Some(leads) = leads else { continue };
        united.extend(members.iter().filter(|id| *id != leads).map(|id| (*id, *leads)));
    }
    united
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]
mod tests {
    use super::*;
    use crate::id::{ActorId, UserId};
    use crate::record::{Author, ChangeNote, Record};

    fn id(n: u8) -> RecordId {
        RecordId([n; 16])
    }

    fn link(a: u8, b: u8, leads: Option<u8>) -> Link {
        Link { households: (id(a), id(b)), of_members: false, is_same: true, is_not_same: false, leads: leads.map(id) }
    }

    /// A small generator; the same seed gives the same numbers.
    fn numbers(mut seed: u64) -> impl FnMut(u64) -> u64 {
        move |below| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        }
    }

    #[test]
    fn a_link_has_one_identity_whoever_is_named_first_and_members_another() {
        let (a, b) = (Side::of(id(1)), Side::of(id(2)));
        assert_eq!(identity(&a, &b), identity(&b, &a));
        assert_eq!(identity(&a, &a), None);
        let (x, y) = (Side { member: Some("x".into()), ..a.clone() }, Side { member: Some("y".into()), ..b.clone() });
        assert_eq!(identity(&x, &y), identity(&y, &x));
        assert_ne!(identity(&x, &y), identity(&a, &b));
        assert_eq!(identity(&x, &b), None, "a member and a household are never the same");
        let twice = Side { member: Some("z".into()), ..a.clone() };
        assert!(identity(&x, &twice).unwrap().is_valid(), "one person twice in one household");
    }

    #[test]
    fn which_households_are_one_follows_from_the_links_whatever_their_order() {
        for seed in 0..300 {
            let mut number = numbers(seed);
            let households = 2 + number(12) as u8;
            let mut links: Vec<Link> = (0..number(20))
                .map(|_| {
                    let (a, b) = (number(u64::from(households)) as u8, number(u64::from(households)) as u8);
                    let leads = [None, Some(a), Some(b), Some(200)][number(4) as usize];
                    Link { is_same: number(4) > 0, ..link(a, b, leads) }
                })
                .filter(|link| link.households.0 != link.households.1)
                .collect();
            let united = unite(&links);
            for _ in 0..5 {
                for at in (1..links.len()).rev() {
                    links.swap(at, number(at as u64 + 1) as usize);
                }
                assert_eq!(unite(&links), united, "seed {seed}");
            }
            let stands = |id: RecordId| united.get(&id).copied().unwrap_or(id);
            for (from, into) in &united {
                assert!(from != into && !united.contains_key(into), "the one that stands for others stands for itself");
            }
            for link in links.iter().filter(|link| link.is_same) {
                assert_eq!(stands(link.households.0), stands(link.households.1), "linked ones are one");
            }
            let apart: BTreeSet<RecordId> =
                links.iter().filter(|l| l.is_same).flat_map(|l| [l.households.0, l.households.1]).collect();
            assert!(united.keys().all(|id| apart.contains(id)), "nobody else is");
        }
    }

    #[test]
    fn the_named_one_stands_for_the_group_and_an_undone_link_sets_it_apart_again() {
        assert_eq!(unite(&[link(1, 2, Some(2)), link(2, 3, None)]), [(id(1), id(2)), (id(3), id(2))].into());
        assert_eq!(unite(&[link(1, 2, Some(9))]), [(id(2), id(1))].into(), "one outside the group leads nobody");
        assert_eq!(unite(&[link(1, 2, None), Link { is_same: false, ..link(2, 3, None) }]), [(id(2), id(1))].into());
        assert!(unite(&[Link { of_members: true, ..link(1, 2, None) }]).is_empty(), "members unite no households");
    }

    #[test]
    fn two_people_who_link_differently_converge_and_nothing_counts_until_one_of_them_decides() {
        let identity = identity(&Side::of(id(1)), &Side::of(id(2))).unwrap();
        let author = |n: u8| Author { actor: ActorId([n; 16]), note: ChangeNote::by(UserId([n; 16])), claimed_s: 1 };
        let (mut a, mut b) = (Record::new(identity.clone()), Record::new(identity.clone()));
        let heads = a.heads();
        let x = a.edit(&heads, &author(1), &edits(Verdict::Same, Some(id(1)))).unwrap().unwrap();
        let y = b.edit(&heads, &author(2), &edits(Verdict::NotSame, None)).unwrap().unwrap();
        a.accept(&y.bytes).unwrap();
        b.accept(&x.bytes).unwrap();
        assert_eq!(a.view(), b.view());
        let read = |record: &Record| {
            let differs = record.view().differences.iter().any(|d| d.key == VERDICT);
            Link::read(&identity, &record.answers(), differs).unwrap()
        };
        assert!(!read(&a).is_same && !read(&a).is_not_same);
        let heads = b.heads();
        let settled = b.edit(&heads, &author(2), &edits(Verdict::Same, Some(id(2)))).unwrap().unwrap();
        a.accept(&settled.bytes).unwrap();
        assert_eq!((read(&a), read(&a)), (read(&b), link(1, 2, Some(2))));
        let heads = a.heads();
        a.edit(&heads, &author(1), &edits(Verdict::Open, None)).unwrap().unwrap();
        assert!(unite(&[read(&a)]).is_empty(), "taken back");
    }
}
