//! How the demo's township begins: areas, people, roles, and the register from the office's spreadsheet.

use std::collections::BTreeMap;
use std::sync::Arc;

use doorstep_core::form::{AnswerKey, Leaf};
use doorstep_core::id::{AreaId, Identity, RecordId};
use doorstep_core::protocol::{AreaEntry, GrantEntry};
use doorstep_core::record::Value;

use super::spreadsheet::register_csv;
use super::township::{HouseholdSeed, Township};
use crate::register::preview::Page;
use crate::register::{Counts, Options, Table, fault, office_user};
use crate::say;
use crate::service::Service;
use crate::service::audit::Actor;
use crate::service::merge::open_record;
use crate::service::office::{FormInstance, Office};
use crate::storage::{Grant, RecordFilter, User};

const FILE_NAME: &str = "农户台账.csv";
/// Households read at once.
const PAGE: u32 = 200;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Areas and people, the register by its spreadsheet, and who is paired with whom. Gives how many rows were faulty.
pub fn open(service: &Arc<Service>, township: &mut Township) -> Result<u64, Fault> {
    areas_and_people(service, township)?;
    let faulty = import(service, township)?;
    pair(service, township)?;
    Ok(faulty)
}

fn areas_and_people(service: &Service, township: &Township) -> Result<(), Fault> {
    let mut areas = vec![area(township.area, None, "township", "", township.name_zh, township.name_en)];
    areas.extend(
        township.villages.iter().map(|v| area(v.area, Some(township.area), "village", &v.code, v.name, v.name_en)),
    );
    service.storage.put_areas(township.area, &areas)?;
    let user = |h: &super::township::HelperSeed| User { id: h.user, name: h.name.clone(), unit: h.unit.to_owned() };
    service.storage.put_users(&township.helpers.iter().map(user).collect::<Vec<_>>())?;
    Ok(())
}

fn area(area: AreaId, parent: Option<AreaId>, level: &str, code: &str, name_zh: &str, name_en: &str) -> AreaEntry {
    AreaEntry {
        area,
        parent,
        level: level.to_owned(),
        code: code.to_owned(),
        name_zh: name_zh.to_owned(),
        name_en: name_en.to_owned(),
    }
}

/// Imports the spreadsheet, and what it held back as the clerk has mended it.
fn import(service: &Arc<Service>, township: &mut Township) -> Result<u64, Fault> {
    let (bytes, _) = register_csv(township).ok_or("the household form lacks a column of the spreadsheet")?;
    let options = Options { file_name: FILE_NAME.to_owned(), ..Options::default() };
    let table = Table::read(service, township.area, &bytes, &options)?;
    let preview = table.preview(service, Page { rows: 0, ..Page::default() })?;
    let counts = |c: &Counts| format!("{} new, {} held back", c.new, c.faulty);
    say!("the office's spreadsheet: {} bytes in GBK, a title above the header, a total below", bytes.len());
    say!("  households: {}; persons: {}", counts(&preview.households), counts(&preview.persons));
    for (code, count, row) in preview.notes.iter() {
        say!("  {count} times, first in row {row}: {}", fault::text(code).en);
    }
    for (code, count) in &preview.faults {
        say!("  faulty, {count} rows: {}", fault::text(code).en);
    }
    let user = office_user(service)?;
    let done = table.import(service, user, FILE_NAME, Some(&preview.token), Actor::CommandLine)?;
    let mended = mend(service, township)?;
    let households = township.households.len();
    say!(
        "{}: {} households imported ({} changes), {mended} after mending; {households} in the register",
        township.name_en,
        done.households.new,
        done.changes
    );
    Ok(preview.faults.values().sum())
}

/// Takes over what ids the import gave, and writes the households that it held back.
fn mend(service: &Arc<Service>, township: &mut Township) -> Result<usize, Fault> {
    let imported = imported(service, township.area)?;
    let mut missing = Vec::new();
    for household in &mut township.households {
        match text_of(&household.answers, "household_no").and_then(|number| imported.get(number)) {
            Some(id) => take_over(service, township.area, household, *id)?,
            None => missing.push(FormInstance {
                id: household.id,
                identity: Identity::of_type("household"),
                area: township.villages[household.village].area,
                subject: None,
                answers: household.answers.clone(),
            }),
        }
    }
    Office::start(service, office_user(service)?, township.area)?.write(&missing)?;
    Ok(missing.len())
}

fn text_of<'a>(answers: &'a [(String, Value)], question: &str) -> Option<&'a str> {
    match answers.iter().find(|(key, _)| key == question) {
        Some((_, Value::Text(text))) => Some(text),
        _ => None,
    }
}

/// The registered households, by number.
fn imported(service: &Service, township: AreaId) -> Result<BTreeMap<String, RecordId>, Fault> {
    let (mut by_number, mut after) = (BTreeMap::new(), 0);
    loop {
        let filter =
            RecordFilter { record_type: Some("household".into()), after, limit: PAGE, ..RecordFilter::default() };
        let rows = service.storage.list_records(township, &filter)?;
        let Some(last) = rows.last() else { return Ok(by_number) };
        after = last.born;
        by_number.extend(rows.into_iter().map(|row| (row.projection.label, row.id)));
    }
}

/// The invented household under the id of the imported one, its members under their instances.
fn take_over(service: &Service, township: AreaId, household: &mut HouseholdSeed, id: RecordId) -> Result<(), Fault> {
    household.id = id;
    let stored = service.storage.load_records(township, &[id])?.into_iter().flatten().next();
    let answers = open_record(&stored.ok_or("an imported household is missing")?)?.answers();
    let mut persons: BTreeMap<String, (String, String)> = BTreeMap::new();
    for (key, value) in &answers {
        let (Some(parsed), Value::Text(text)) = (AnswerKey::parse(key), value) else { continue };
        let [("member", instance)] = parsed.instances[..] else { continue };
        match parsed.leaf {
            Leaf::Question("name") => persons.entry(instance.to_owned()).or_default().0.clone_from(text),
            Leaf::Question("birth") => persons.entry(instance.to_owned()).or_default().1.clone_from(text),
            _ => {}
        }
    }
    for member in &mut household.members {
        let (year, month, day) = member.born;
        let wanted = (member.name.clone(), format!("{year:04}-{month:02}-{day:02}"));
        let found = persons.iter().find(|(_, person)| **person == wanted).map(|(instance, _)| instance.clone());
        let instance = found.ok_or("a person of the spreadsheet isn't in the register")?;
        persons.remove(&instance);
        member.instance = instance;
    }
    Ok(())
}

/// Every helper is paired with his or her households.
fn pair(service: &Service, township: &Township) -> Result<(), Fault> {
    for helper in &township.helpers {
        let pairing = |household: &usize| {
            let seed = &township.households[*household];
            let area = township.villages[seed.village].area;
            GrantEntry { grant: 0, role: "helper".into(), area, subject: Some(seed.id), active: true }.into()
        };
        let grants: Vec<Grant> = helper.households.iter().map(pairing).collect();
        service.storage.append_grants(helper.user, &grants)?;
    }
    Ok(())
}
