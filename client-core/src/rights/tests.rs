#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use super::*;
use crate::clock::{Entropy, SeededEntropy, random};
use crate::id::{ActorId, Identity, UserId};
use crate::record::{Author, ChangeNote, Edit, Record, Section, Value};

fn role(name: &str) -> Arc<Role> {
    Roles::builtin().get(name)
}

#[test]
fn the_roles_of_the_pack_are_those_of_the_field() {
    let names: Vec<&str> = Roles::builtin().iter().map(|r| r.name.as_str()).collect();
    let field = [
        "county",
        "helper",
        "inspector",
        "poverty_clerk",
        "responsible_unit",
        "supervisor",
        "township_leader",
        "township_office",
        "village_cadre",
        "work_team",
    ];
    assert_eq!(names, field);
    assert!(Roles::builtin().iter().all(|r| ["zh", "en"].iter().all(|l| r.label.in_language(l).is_some())));
    assert_eq!(Roles::from_json(&Roles::builtin().to_json()).unwrap(), **Roles::builtin());
}

#[test]
fn a_role_that_is_not_known_may_do_nothing() {
    let nobody = role("mayor");
    assert!(!nobody.reads("household"));
    assert!(!nobody.may(Action::Create, "visit", OPEN));
    assert!(!nobody.reads_all());
}

#[test]
fn reading_goes_by_type_and_class() {
    for (name, readable, hidden) in [
        ("helper", "household.sensitive", "household.office"),
        ("county", "household", "household.sensitive"),
        ("inspector", "household", "income_ledger"),
        ("township_office", "household.office", "household.unheard_of"),
        ("responsible_unit", "problem", "household"),
    ] {
        assert!(role(name).reads(readable), "{name} reads {readable}");
        assert!(!role(name).reads(hidden), "{name} doesn't read {hidden}");
    }
    assert!(role("township_office").reads_all());
    assert!(!role("helper").reads_all());
}

#[test]
fn what_a_database_looks_for_is_what_the_role_reads() {
    let types = ["household", "visit", "problem", "satisfaction", "inspection", "income_ledger", "unheard_of"];
    for role in Roles::builtin().iter() {
        for suffix in ["", ".sensitive", ".office", ".secret"] {
            for base in types {
                let record_type = format!("{base}{suffix}");
                let looked_for = role.readable().iter().any(|readable| readable.covers(&record_type));
                assert_eq!(looked_for, role.reads(&record_type), "{} {record_type}", role.name);
            }
        }
    }
}

#[test]
fn a_right_that_names_a_type_stands_in_place_of_those_for_all() {
    let helper = role("helper");
    assert!(helper.writes(Action::Edit, "visit", OPEN, "status"));
    assert!(!helper.writes(Action::Edit, "household", OPEN, "status"));
    assert!(helper.writes(Action::Edit, "household", OPEN, "member#a1/name"));
    assert!(helper.writes(Action::Create, "household", OPEN, "status"));
    let supervisor = role("supervisor");
    assert!(supervisor.writes(Action::Edit, "satisfaction", OPEN, "score"));
    assert!(!supervisor.writes(Action::Edit, "visit", OPEN, "result"));
}

#[test]
fn questions_are_named_with_their_repeats_and_without_instances() {
    let json = r#"[{"name": "nurse", "label": {"zh": "护士", "en": "Nurse"}, "rights": [
        {"types": ["household"], "classes": ["core"], "actions": ["edit"], "only": ["member/health", "remark*", "tags"],
         "except": ["remark_office"]}]}]"#;
    let nurse = Roles::from_json(json).unwrap().get("nurse");
    let may = |key| nurse.writes(Action::Edit, "household", OPEN, key);
    assert!(may("member#x9/health") && may("remark_2") && may("tags=old"));
    assert!(!may("member#x9/name") && !may("remark_office") && !may("health") && !may("not a key"));
    assert!(!may("member#x9/@deleted"));
}

#[test]
fn a_table_that_can_not_be_used_says_why() {
    assert!(matches!(Roles::from_json("{}"), Err(RolesError::Json(_))));
    let twice = r#"[{"name": "a", "label": {}, "rights": []}, {"name": "a", "label": {}, "rights": []}]"#;
    assert_eq!(Roles::from_json(twice), Err(RolesError::Name("a".to_owned())));
    assert_eq!(Roles::from_json(&" ".repeat(ROLES_BYTES_MAX + 1)), Err(RolesError::TooLarge));
    let own = Roles::from_json(r#"[{"name": "helper", "label": {"zh": "志愿者"}, "rights": []}]"#).unwrap();
    let merged = own.over(Roles::builtin());
    assert!(!merged.get("helper").reads("household"), "the township's own role replaces the pack's");
    assert!(merged.contains("county"));
}

fn put(record: &mut Record, actor: u8, section: Section, key: &str, value: &str) -> crate::id::ChangeHash {
    let author =
        Author { actor: ActorId([actor; 16]), note: ChangeNote::by(UserId([actor; 16])), claimed_s: 1_700_000_000 };
    let heads = record.heads();
    let edit = Edit { section, key: key.to_owned(), value: Value::Text(value.to_owned()) };
    record.edit(&heads, &author, &[edit]).unwrap().unwrap().hash
}

fn set_state(record: &mut Record, entropy: &dyn Entropy, state: &str) {
    let id = data_encoding::HEXLOWER.encode(&random::<16>(entropy));
    let json = Standing { state: state.to_owned(), reason: String::new() }.to_json();
    put(record, 9, Section::Events, &id, &json);
}

#[test]
fn the_state_follows_from_the_events_at_any_point_of_the_history() {
    let entropy = SeededEntropy::new(3);
    let mut record = Record::new(Identity::of_type("screening"));
    let before = put(&mut record, 1, Section::Answers, "remark", "a");
    assert_eq!(record.standing(), OPEN);
    set_state(&mut record, &entropy, "approved");
    let approved = record.heads();
    put(&mut record, 9, Section::Events, "0123456789abcdef", r#"{"kind":"called_back"}"#);
    assert_eq!(record.standing(), "approved");
    set_state(&mut record, &entropy, "returned");
    assert_eq!(record.standing(), "returned");
    assert_eq!(record.standing_at(&[before]), OPEN);
    assert_eq!(record.standing_at(&approved), "approved");
}
