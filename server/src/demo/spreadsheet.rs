//! The invented township's register as the spreadsheet that an office would have: GBK, a title, dates in several forms, wide
//! spaces in names, household numbers on first rows only, and a few ID numbers that lost their digits.

use std::collections::BTreeMap;

use doorstep_core::form::{AnswerKey, Catalog};
use doorstep_core::record::Value;

use super::township::{HouseholdSeed, Township};
use crate::register::schema::{Field, FieldKind, Schema};

/// One household in so many has a fault.
const FAULT_EVERY: usize = 191;

/// The columns, by question: those of the household, then those of its members.
const COLUMNS: [&str; 24] = [
    "household_no",
    "village",
    "group",
    "address",
    "phone",
    "status",
    "status_year",
    "attributes",
    "income_wages",
    "income_business",
    "income_costs",
    "income_property",
    "income_transfers",
    "name",
    "relation",
    "sex",
    "birth",
    "id_number",
    "education",
    "school",
    "health",
    "labour",
    "work_place",
    "insured",
];

/// The spreadsheet, and how many of its households are faulty. `None` when the built-in household form lacks a column.
pub fn register_csv(township: &Township) -> Option<(Vec<u8>, usize)> {
    let schema = Schema::of(Catalog::default().of_type("household")?)?;
    let fields: Vec<&Field> =
        COLUMNS.iter().map(|name| schema.position(name).map(|at| &schema.fields[at])).collect::<Option<_>>()?;
    let mut text = format!("{}农户台账{}\n", township.name_zh, ",".repeat(COLUMNS.len() - 1));
    let headers: Vec<&str> = fields.iter().map(|f| f.question.label("zh", "zh")).collect();
    text.push_str(&row(headers.iter().map(|h| (*h).to_owned())));
    let mut faulty = 0;
    for (at, household) in township.households.iter().enumerate() {
        let is_faulty = at % FAULT_EVERY == FAULT_EVERY / 2;
        faulty += usize::from(is_faulty);
        rows_of(&schema, &fields, at, household, is_faulty, &mut text);
    }
    text.push_str(&format!("合计{}\n", ",".repeat(COLUMNS.len() - 1)));
    Some((encoding_rs::GB18030.encode(&text).0.into_owned(), faulty))
}

fn rows_of(
    schema: &Schema,
    fields: &[&Field],
    at: usize,
    household: &HouseholdSeed,
    is_faulty: bool,
    text: &mut String,
) {
    let answers: BTreeMap<&str, &Value> = household.answers.iter().map(|(k, v)| (k.as_str(), v)).collect();
    for (order, member) in household.members.iter().enumerate() {
        let cells = fields.iter().map(|field| {
            if !field.of_member && order > 0 {
                return String::new();
            }
            let key = if field.of_member { member.key(&field.name) } else { field.name.clone() };
            match (field.kind, field.name.as_str()) {
                (FieldKind::Id, _) if is_faulty && order == 0 => "9.99999E+17".to_owned(),
                (FieldKind::Name, "name") if (at + order) % 9 == 4 => {
                    member.name.chars().map(|c| format!("{c}　")).collect()
                }
                (FieldKind::Date, _) => written_date(&answer(schema, field, &answers, &key), at + order),
                _ => answer(schema, field, &answers, &key),
            }
        });
        text.push_str(&row(cells));
    }
}

/// An answer as offices write it: labels of choices, ticks together.
fn answer(schema: &Schema, field: &Field, answers: &BTreeMap<&str, &Value>, key: &str) -> String {
    let label = |choice| field.label_of(&schema.form, choice, "zh").to_owned();
    if field.kind == FieldKind::Many {
        let is_ticked = |c: &&String| answers.get(AnswerKey::tick(key, c).as_str()) == Some(&&Value::Bool(true));
        return field.choices.iter().filter(is_ticked).map(|c| label(c)).collect::<Vec<_>>().join("、");
    }
    match answers.get(key) {
        Some(Value::Text(text)) if field.kind == FieldKind::One => label(text),
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Int(n)) => n.to_string(),
        Some(Value::Number(n)) => n.to_string(),
        _ => String::new(),
    }
}

fn written_date(date: &str, n: usize) -> String {
    let parts: Vec<&str> = date.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return String::new() };
    let plain = |part: &str| part.trim_start_matches('0').to_owned();
    match n % 4 {
        0 => format!("{year}.{}.{}", plain(month), plain(day)),
        1 => format!("{year}年{}月{}日", plain(month), plain(day)),
        2 => format!("{year}{month}{day}"),
        _ => format!("{year}/{}/{}", plain(month), plain(day)),
    }
}

fn row(cells: impl Iterator<Item = String>) -> String {
    let quoted =
        cells.map(|c| if c.contains([',', '"', '\n']) { format!("\"{}\"", c.replace('"', "\"\"")) } else { c });
    quoted.collect::<Vec<_>>().join(",") + "\n"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

    use std::sync::Arc;

    use doorstep_core::clock::{ManualClock, SeededEntropy};
    use doorstep_core::protocol::AreaEntry;

    use super::*;
    use crate::register::preview::Page;
    use crate::register::{Options, Table};
    use crate::service::{Committer, Service};
    use crate::storage::SqliteStorage;

    #[test]
    fn the_townships_spreadsheet_holds_its_register_but_for_the_faulty_households() {
        let township = Township::invent(1);
        let (bytes, faulty) = register_csv(&township).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let storage = Arc::new(SqliteStorage::open(&dir.path().join("doorstep.db")).unwrap());
        let clock = Arc::new(ManualClock::at(1_790_000_000_000));
        let service = Service::open(storage, clock, Arc::new(SeededEntropy::new(1)), Committer::Inline).unwrap();
        let area = |area, parent, level: &str, name: &str| AreaEntry {
            area,
            parent,
            level: level.to_owned(),
            code: String::new(),
            name_zh: name.to_owned(),
            name_en: String::new(),
        };
        let mut areas = vec![area(township.area, None, "township", township.name_zh)];
        areas.extend(township.villages.iter().map(|v| area(v.area, Some(township.area), "village", v.name)));
        service.storage.put_areas(township.area, &areas).unwrap();
        let table = Table::read(&service, township.area, &bytes, &Options::default()).unwrap();
        let preview = table.preview(&service, Page::default()).unwrap();
        assert!(faulty > 5);
        let wrong = preview.rows.iter().filter(|r| r.faults.iter().any(|f| f.code != "held_back")).take(3);
        assert_eq!(preview.households.faulty as usize, faulty, "{:?}", wrong.collect::<Vec<_>>());
        assert_eq!(preview.households.new as usize, township.households.len() - faulty);
        assert_eq!((preview.persons.new + preview.persons.faulty) as usize, township.persons());
    }
}
