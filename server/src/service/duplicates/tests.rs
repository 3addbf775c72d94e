#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use super::*;

fn household(n: u32, area: u8, head: &str, persons: &[(&str, &str, &str)]) -> Household {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    let person = |(at, (name, birth, number)): (usize, &(&str, &str, &str))| Person {
        instance: format!("m{at}"),
        shown: (*name).to_owned(),
        name: plain(name),
        birth: (*birth).to_owned(),
        relation: String::new(),
        id_number: mark("id", number),
    };
    Household {
        id: Some(RecordId(id)),
        area: Some(AreaId([area; 16])),
        head: head.to_owned(),
        persons: persons.iter().enumerate().map(person).collect(),
        ..Household::default()
    }
}

fn codes(candidate: &Candidate) -> Vec<&'static str> {
    candidate.reasons.iter().map(|reason| reason.code()).collect()
}

#[test]
fn a_household_entered_twice_is_one_candidate_with_score_and_reasons_not_one_for_each_member() {
    let members = [("李四", "1960-05-01", "99999919600501001X"), ("王红", "1962-03-02", "")];
    let twice = [household(1, 1, "李四", &members), household(2, 1, "李 四", &members), household(3, 1, "赵六", &[])];
    let found = find(&twice);
    assert_eq!(found.candidates.len(), 1);
    let candidate = &found.candidates[0];
    assert_eq!(candidate.names, ("李四".to_owned(), "李 四".to_owned()));
    assert_eq!((candidate.score, codes(candidate)), (75, vec!["persons", "head", "village"]));
    assert!(candidate.sides.0.member.is_none());
}

#[test]
fn somebody_who_stands_in_two_households_is_a_candidate_by_id_number_or_by_name_and_birth() {
    let (by_number, by_birth) = (("李梅", "1990-01-01", "999999199001010016"), ("李梅", "1990-01-01", ""));
    for (person, first) in [(by_number, "id_number"), (by_birth, "birth")] {
        let found = find(&[household(1, 1, "李四", &[person]), household(2, 2, "王五", &[person])]);
        let candidate = &found.candidates[0];
        assert_eq!((found.candidates.len(), codes(candidate)[0]), (1, first));
        assert_eq!(candidate.sides.1.member.as_deref(), Some("m0"));
    }
    let other = ("李梅", "1990-01-01", "999999199001010024");
    let two = [household(1, 1, "李四", &[by_number]), household(2, 2, "王五", &[other])];
    assert!(find(&two).candidates.is_empty(), "different ID numbers speak against it");
}

#[test]
fn somebody_entered_twice_in_one_household_is_found() {
    let person = ("李梅", "1990-01-01", "");
    let found = find(&[household(1, 1, "李四", &[person, person])]);
    let (one, other) = &found.candidates[0].sides;
    assert_eq!(
        (one.household, one.member.as_deref(), other.member.as_deref()),
        (other.household, Some("m0"), Some("m1"))
    );
    assert_eq!(link_key(&found.candidates[0]).len(), 4);
}

#[test]
fn a_common_name_in_one_village_makes_no_candidates_and_not_all_pairs_are_compared() {
    let many: Vec<Household> = (0..3_000)
        .map(|n| {
            let (name, birth) = (format!("王{}", n % 47), format!("{}-01-{:02}", 1930 + n % 80, 1 + n % 27));
            household(n, (n % 10) as u8, "王伟", &[(&name, &birth, &format!("N{n}"))])
        })
        .collect();
    let found = find(&many);
    assert!(found.candidates.is_empty(), "{:?}", found.candidates.first());
    assert!(found.compared > 1_000 && found.compared < 60_000, "{} of 4,498,500 pairs", found.compared);
}

#[test]
fn what_is_found_is_bounded_and_the_same_whatever_the_order_of_the_households() {
    let many = |reverse: bool| {
        let mut all: Vec<Household> = (0..3_000)
            .map(|n| household(n, 1, &format!("李{}", n / 2), &[(&format!("王{}", n / 2), "1980-01-01", "")]))
            .collect();
        if reverse {
            all.reverse();
        }
        find(&all)
    };
    let (found, reversed) = (many(false), many(true));
    assert!(found.has_more && found.candidates.len() == CANDIDATES_MAX);
    let keys = |found: &Found| found.candidates.iter().map(link_key).collect::<HashSet<_>>();
    assert_eq!(keys(&found).len(), keys(&reversed).len());
}

#[test]
fn sensitive_answers_are_compared_as_digests_and_stand_in_nothing_that_is_shown() {
    let number = "999999199001010016";
    let person = [("李梅", "1990-01-01", number)];
    let mut pair = [household(1, 1, "李四", &person), household(2, 2, "王五", &person)];
    let merged = Merged { answers: [("phone".to_owned(), Value::from("19900000000"))].into() };
    pair[0].add_sensitive(&Merged { answers: [("member#m0/id_number".to_owned(), Value::from(number))].into() });
    pair[1].phone = mark("phone", &merged.text("phone"));
    let shown = format!("{:?} {:?}", find(&pair), pair);
    assert!(!shown.contains(number) && !shown.contains("19900000000"), "{shown}");
}
