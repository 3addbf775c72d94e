//! From which day on a record stands for how many persons, by the dates in its answers: what figures of past days need.

use std::collections::{BTreeMap, BTreeSet};

use doorstep_core::form::ListColumns;
use doorstep_core::record::Value;

use super::doubts::Answers;
use crate::calendar::parse_day;

/// The most steps that are kept apart; the oldest are taken together.
const STEPS_MAX: usize = 200;

/// The steps as `Projection::steps` has them; empty for a form without persons.
pub fn steps(columns: &ListColumns, answers: &Answers) -> String {
    if columns.persons.is_empty() {
        return String::new();
    }
    let people = people(columns, answers);
    let ended = day(answers, &columns.ended);
    let mut changes: BTreeMap<&str, i64> = BTreeMap::new();
    for person in &people {
        *changes.entry(person.joined.unwrap_or("")).or_default() += 1;
        if let Some(left) = person.left.filter(|left| Some(*left) >= person.joined) {
            *changes.entry(left).or_default() -= 1;
        } else if person.left.is_some() {
            // left before they joined: never one of them
            *changes.entry(person.joined.unwrap_or("")).or_default() -= 1;
        }
    }
    // a household that began with its first members didn't exist before
    let began = people.iter().map(|p| p.joined.unwrap_or("")).min().unwrap_or("");
    let mut days: BTreeSet<&str> = changes.keys().copied().chain([began, ""]).chain(ended).collect();
    while days.len() > STEPS_MAX {
        let oldest = days.iter().nth(1).copied().unwrap_or("");
        days.remove(oldest);
    }
    let mut steps: Vec<String> = Vec::new();
    let mut last = None;
    for from in days {
        let exists = from >= began && ended.is_none_or(|ended| from < ended);
        let persons: i64 = changes.range(..=from).map(|(_, n)| n).sum();
        let value = if exists { persons.max(0).to_string() } else { "-".to_owned() };
        if last.as_ref() != Some(&value) {
            steps.push(if from.is_empty() { value.clone() } else { format!("{from}={value}") });
            last = Some(value);
        }
    }
    steps.join(" ")
}

struct Person<'a> {
    joined: Option<&'a str>,
    left: Option<&'a str>,
}

fn people<'a>(columns: &ListColumns, answers: &'a Answers) -> Vec<Person<'a>> {
    let instances = answers.keys().filter_map(|key| columns.instance_of_person(key, answers));
    let of = |instance: &str, question: &str| {
        (!question.is_empty()).then(|| day(answers, &format!("{instance}/{question}"))).flatten()
    };
    instances.map(|i| Person { joined: of(i, &columns.joined), left: of(i, &columns.absent) }).collect()
}

fn day<'a>(answers: &'a Answers, question: &str) -> Option<&'a str> {
    match answers.get(question) {
        Some(Value::Text(text)) if parse_day(text).is_some() => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

    use doorstep_core::form::Catalog;

    use super::*;

    fn of(pairs: &[(&str, &str)]) -> String {
        let text = |t: &str| if t == "!" { Value::Bool(true) } else { Value::Text(t.to_owned()) };
        let answers: Answers = pairs.iter().map(|(key, value)| ((*key).to_owned(), text(value))).collect();
        let form = Catalog::default().of_type("household").unwrap();
        let steps = steps(&form.list, &answers);
        // the same rule as on the phone
        for day in ["2019-12-31", "2020-03-01", "2020-05-01", "2020-05-02", "2020-06-01", "2020-12-30", "2020-12-31"] {
            let step = steps.split(' ').rev().find_map(|step| match step.split_once('=') {
                Some((from, persons)) => (from <= day).then_some(persons),
                None => Some(step),
            });
            assert_eq!(step.unwrap().parse().unwrap_or(0), form.list.persons_on(&answers, day), "{steps} on {day}");
        }
        steps
    }

    #[test]
    fn members_count_from_the_day_they_joined_to_the_day_before_they_left() {
        assert_eq!(of(&[]), "0");
        let mut household =
            vec![("member#a/name", "Wang"), ("member#b/name", "Zhao"), ("member#b/left_on", "2020-05-02")];
        assert_eq!(of(&household), "2 2020-05-02=1");
        household.extend([("member#c/name", "Qian"), ("member#c/joined_on", "2020-03-01")]);
        assert_eq!(of(&household), "2 2020-03-01=3 2020-05-02=2");
        household.extend([("member#c/@deleted", "!"), ("ended_on", "2020-12-31")]);
        assert_eq!(of(&household), "2 2020-05-02=1 2020-12-31=-");
    }

    #[test]
    fn a_household_whose_members_all_joined_began_with_the_first() {
        let split = [
            ("member#a/name", "Wang"),
            ("member#a/joined_on", "2020-03-01"),
            ("member#b/name", "Zhao"),
            ("member#b/joined_on", "2020-05-02"),
        ];
        assert_eq!(of(&split), "- 2020-03-01=1 2020-05-02=2");
    }

    #[test]
    fn many_steps_and_what_is_no_day_do_no_harm() {
        let names: Vec<(String, String)> = (0..600)
            .flat_map(|n| {
                let day = format!("2{:03}-01-01", n);
                [(format!("member#a{n}/name"), "x".to_owned()), (format!("member#a{n}/joined_on"), day)]
            })
            .collect();
        let mut pairs: Vec<(&str, &str)> = names.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let form = Catalog::default().of_type("household").unwrap();
        pairs.push(("ended_on", "soon"));
        let answers = pairs.iter().map(|(k, v)| ((*k).to_owned(), Value::Text((*v).to_owned()))).collect();
        let steps = steps(&form.list, &answers);
        assert_eq!(steps.split(' ').count(), STEPS_MAX);
        assert!(steps.ends_with("2599-01-01=600"));
    }
}
