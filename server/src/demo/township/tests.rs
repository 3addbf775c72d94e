//! What the invented township promises.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

use std::collections::BTreeSet;
use std::sync::Arc;

use doorstep_core::clock::ManualClock;
use doorstep_core::form::Pack;
use doorstep_core::form::model::Model;
use doorstep_core::form::session::{Session, Surroundings};

use super::*;
use crate::demo::answers::{ZONE_MINUTES, as_given};
use crate::demo::names::check_digit;

fn check(form: &str, answers: &[(String, Value)]) {
    let form = Pack::built_in().form(form).unwrap();
    let mut keys = BTreeSet::new();
    for (key, value) in answers {
        assert_eq!(form.check_answer(key, value), Ok(()), "{} {key} {value:?}", form.name);
        assert!(keys.insert(key), "{key} stands twice");
    }
}

fn texts<'a>(household: &'a HouseholdSeed, suffix: &'a str) -> impl Iterator<Item = &'a str> {
    household.answers.iter().filter(move |(key, _)| key.ends_with(suffix)).filter_map(|(_, value)| match value {
        Value::Text(text) => Some(text.as_str()),
        _ => None,
    })
}

#[test]
fn counts_are_those_of_the_papers() {
    let township = Township::invent(1);
    assert_eq!(township.villages.len(), 11);
    let count = |register| township.households.iter().filter(|h| h.register == register).count();
    assert_eq!((count(Register::Poor), count(Register::Marginal)), (1_863, 51));
    assert!(township.households.iter().all(|h| (h.status == "marginal") == (h.register == Register::Marginal)));
    assert_eq!(township.helpers.len(), 271);
    let persons_per_household = township.persons() as f64 / township.households.len() as f64;
    assert!((2.9..=3.3).contains(&persons_per_household), "{persons_per_household}");
    assert!(township.name_zh.ends_with("(虚构)") && township.name_en.ends_with("(invented)"));
}

#[test]
fn one_seed_gives_one_township() {
    assert_eq!(Township::invent(7), Township::invent(7));
    assert_ne!(Township::invent(7).households, Township::invent(8).households);
    let household = &Township::invent(7).households[3];
    let visit = |seed| visit_answers(&SeededEntropy::new(seed), household, "2026-11-24");
    assert_eq!(visit(5), visit(5));
}

#[test]
fn every_household_has_one_helper_and_helpers_have_about_seven() {
    let township = Township::invent(1);
    let paired: Vec<usize> = township.helpers.iter().flat_map(|h| h.households.clone()).collect();
    assert_eq!(paired, (0..township.households.len()).collect::<Vec<_>>());
    assert!(township.helpers.iter().all(|h| (7..=8).contains(&h.households.len())));
}

#[test]
fn every_answer_fits_the_household_form() {
    for household in &Township::invent(1).households {
        check("household", &household.answers);
    }
}

#[test]
fn id_numbers_are_invented_unique_and_have_the_right_check_digit() {
    let township = Township::invent(1);
    let numbers: Vec<&str> = township.households.iter().flat_map(|h| texts(h, "/id_number")).collect();
    assert_eq!(numbers.len(), township.persons());
    for number in &numbers {
        assert!(number.len() == 18 && number.starts_with("999999"));
        assert_eq!(number.chars().last(), Some(check_digit(&number[..17])));
    }
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len());
}

#[test]
fn families_make_sense() {
    let township = Township::invent(1);
    for household in &township.households {
        let head = &household.members[0];
        assert_eq!(household.members.iter().filter(|m| m.relation == "head").count(), 1);
        assert!(head.age() >= 18);
        for member in &household.members {
            match member.relation {
                "son" | "daughter" => assert!(member.age() + 18 <= head.age()),
                "father" | "mother" => assert!(member.age() >= head.age() + 18),
                "grandson" | "granddaughter" => assert!(member.age() + 36 <= head.age()),
                _ => {}
            }
            if (6..=15).contains(&member.age()) {
                assert!(matches!(member.school, "primary" | "junior" | "senior" | "vocational"));
                assert_eq!(member.labour, "none");
            }
        }
    }
}

#[test]
fn names_hold_rare_characters_and_middle_dots() {
    let township = Township::invent(1);
    let names: Vec<&str> = township.households.iter().flat_map(|h| texts(h, "/name")).collect();
    assert!(names.iter().any(|n| n.contains('·')));
    assert!(names.iter().any(|n| n.chars().any(|c| u32::from(c) > 0xFFFF)));
    assert!(names.iter().collect::<BTreeSet<_>>().len() > names.len() * 2 / 3);
}

/// Gives the answers to a form as a helper would; all must stand, and nothing may be missing.
fn fill(model: &Arc<Model>, clock: &Arc<ManualClock>, answers: &[(String, Value)]) -> Session {
    let around = Surroundings::new(clock.clone(), Arc::new(SeededEntropy::new(1)), ZONE_MINUTES);
    let mut session = Session::new(model.clone(), around);
    for (question, text) in as_given(answers) {
        let spot = session.spot(&question).unwrap_or_else(|| panic!("no {question}"));
        let answered = session.answer(spot, &text);
        assert!(answered.is_ok(), "{question} {text}: {answered:?}");
    }
    assert_eq!(session.problems(), Vec::new());
    session
}

#[test]
fn visits_and_screenings_stand_in_their_forms_and_raise_flags() {
    let entropy = SeededEntropy::new(9);
    let model = |name: &str| {
        let form = Pack::built_in().forms().iter().find(|f| f.name == name).unwrap();
        Arc::new(Model::new(form.def().clone()).unwrap())
    };
    let (visit, screening) = (model("visit"), model("screening"));
    let clock = Arc::new(ManualClock::at(1_795_500_000_000));
    let mut at_risk = 0;
    for household in Township::invent(1).households.iter().step_by(9) {
        fill(&visit, &clock, &visit_answers(&entropy, household, "2026-11-24"));
        let filled = fill(&screening, &clock, &screening_answers(&entropy, household, "2026-11-24"));
        at_risk += usize::from(&*filled.value(filled.spot("at_risk").unwrap()) == "1");
    }
    assert!((5..60).contains(&at_risk), "{at_risk} households of 213 at risk");
}

#[test]
fn visits_screenings_and_new_members_fit_their_forms() {
    let entropy = SeededEntropy::new(9);
    for household in &Township::invent(1).households {
        let visit = visit_answers(&entropy, household, "2026-11-24");
        let screening = screening_answers(&entropy, household, "2026-11-24");
        check("visit", &visit);
        check("screening", &screening);
        check("household", &newborn_answers(&entropy, household, "2026-11-24"));
        for (_, value) in visit.iter().chain(&screening).filter(|(key, _)| key == "remark") {
            let Value::Text(remark) = value else { panic!("a remark is a text") };
            assert!((30..=60).contains(&remark.chars().count()), "{remark}");
        }
    }
}

#[test]
fn screenings_of_one_household_in_one_campaign_are_one_record() {
    let township = Township::invent(1);
    let (first, second) = (&township.households[0], &township.households[1]);
    assert_eq!(first.screening(township.campaign), first.screening(township.campaign));
    assert_ne!(first.screening(township.campaign), second.screening(township.campaign));
}
