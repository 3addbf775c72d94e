//! `doorstep bench register`: an invented messy spreadsheet, previewed, imported, and imported again.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use doorstep_core::clock::{SeededEntropy, SystemClock, SystemEntropy, random};
use doorstep_core::id::AreaId;
use doorstep_core::protocol::AreaEntry;

use super::Fault;
use super::process::{Scratch, memory_mb};
use super::report::Line;
use crate::cli::Outcome;
use crate::cli::serve::database_file;
use crate::demo::names::{self, check_digit};
use crate::register::preview::Page;
use crate::register::{Options, Table, office_user};
use crate::service::audit::Actor;
use crate::service::{Committer, Service};
use crate::storage::{SqliteStorage, Storage};

/// Households of one village of the spreadsheet.
const VILLAGE_HOUSEHOLDS: usize = 350;
/// One household in so many has a fault.
const FAULT_EVERY: usize = 50;

/// Options of `bench register`.
#[derive(Args)]
pub struct RegisterArgs {
    /// Households of the spreadsheet.
    #[arg(long, default_value_t = 5_700)]
    households: usize,
    /// Write the spreadsheet here and end.
    #[arg(long)]
    to: Option<PathBuf>,
    /// One JSON line a step.
    #[arg(long)]
    json: bool,
    /// Where the scratch folder goes.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// A messy spreadsheet: GBK with a title, dates in five forms, wide spaces, household numbers on first rows only, and one
/// household in fifty with a fault. Gives it with its rows of persons.
pub fn messy(households: usize, seed: u64) -> (Vec<u8>, usize) {
    let entropy = SeededEntropy::new(seed);
    let mut text = String::from(
        "农户台账(虚构),,,,,,,,,,,,,,,\n户编号,行政村,村民小组,姓名,与户主关系,身份证号码,性别,出生日期,文化程度,健康状况,劳动能力,务工地点,医保参保,户类别,家庭住址,工资性收入(元)\n",
    );
    let (mut rows, mut persons) = (0usize, 0u64);
    for household in 0..households {
        let village = household / VILLAGE_HOUSEHOLDS + 1;
        let surname = names::surname(&entropy);
        let size = 1 + entropy.below(6) as usize;
        for member in 0..size {
            persons += 1;
            rows += 1;
            let male = entropy.chance(50);
            let mut name = names::name(&entropy, &surname, male);
            if entropy.chance(5) {
                name.insert(name.char_indices().nth(1).map_or(0, |(at, _)| at), '　');
            }
            let (id, birth) = person(persons, male);
            let is_faulty = household % FAULT_EVERY == 7 && member == 0;
            let id = if is_faulty { "9.99999E+17" } else { &id };
            let (number, place) = match member {
                0 => (format!("999999{village:04}{household:06}"), format!("第{village}村,{}组", 1 + household % 7)),
                _ => (String::new(), ",".to_owned()),
            };
            let relation = ["户主", "配偶", "长子", "女儿", "之母", "孙子(外孙)"][member];
            let (status, address, income) = match member {
                0 => (
                    "脱贫户",
                    format!("第{village}村{}号", household % 200),
                    format!("\"{},{:03}元\"", entropy.below(60) + 1, entropy.below(1000)),
                ),
                _ => ("", String::new(), String::new()),
            };
            let sex = if male { "男" } else { "女" };
            let _ = writeln!(
                text,
                "{number},{place},{name},{relation},{id},{sex},{birth},初中,健康,普通劳动力,省外务工,城乡居民医保(本县),{status},{address},{income}"
            );
        }
    }
    let _ = writeln!(text, "合计,,,{rows}人,,,,,,,,,,,,");
    (encoding_rs::GB18030.encode(&text).0.into_owned(), rows)
}

/// An ID number that no other person has, with its birthday written in one of five ways.
fn person(n: u64, male: bool) -> (String, String) {
    let (day, sequence) = (n % (28 * 12 * 60), n / (28 * 12 * 60));
    let (year, month, day) = (1945 + day / 336, day / 28 % 12 + 1, day % 28 + 1);
    let body = format!("999999{year:04}{month:02}{day:02}{:03}", (sequence * 2 + u64::from(male)) % 1000);
    let birth = match n % 5 {
        0 => format!("{year}.{month}.{day}"),
        1 => format!("{year}/{month}/{day}"),
        2 => format!("{year}年{month}月{day}日"),
        3 => format!("{year}{month:02}{day:02}"),
        _ => format!("{year}-{month:02}-{day:02}"),
    };
    (format!("{body}{}", check_digit(&body)), birth)
}

fn township(service: &Service, villages: usize) -> Result<AreaId, Fault> {
    let id = || AreaId(random(&SystemEntropy));
    let township = id();
    let area = |area, parent, level: &str, name: String| AreaEntry {
        area,
        parent,
        level: level.to_owned(),
        code: String::new(),
        name_en: name.clone(),
        name_zh: name,
    };
    let mut areas = vec![area(township, None, "township", "测量乡".to_owned())];
    areas.extend((1..=villages).map(|v| area(id(), Some(township), "village", format!("第{v}村"))));
    service.storage.put_areas(township, &areas)?;
    Ok(township)
}

/// Measures.
pub fn register(args: &RegisterArgs) -> Outcome {
    let (bytes, rows) = messy(args.households, 1);
    if let Some(path) = &args.to {
        std::fs::write(path, bytes)?;
        return Ok(ExitCode::SUCCESS);
    }
    let scratch = Scratch::new(args.dir.as_deref())?;
    let storage: Arc<dyn Storage> = Arc::new(SqliteStorage::open(&database_file(scratch.path())?)?);
    let committer = Committer::grouped(storage.clone())?;
    let service = Service::open(storage, Arc::new(SystemClock), Arc::new(SystemEntropy), committer)?;
    let township = township(&service, args.households / VILLAGE_HOUSEHOLDS + 1)?;
    let user = office_user(&service)?;
    let read = || Table::read(&service, township, &bytes, &Options::default());
    for step in ["preview", "import", "same file again", "preview of what is there"] {
        let start = Instant::now();
        let table = read()?;
        let (households, changes) = if step.starts_with("preview") {
            (table.preview(&service, Page::default())?.households, 0)
        } else {
            let done = table.import(&service, user, "bench.csv", None, Actor::CommandLine)?;
            (done.households, done.changes)
        };
        let seconds = start.elapsed().as_secs_f64();
        let (peak, memory) = memory_mb(std::process::id())?;
        let line = Line::new(&format!("register: {step}"))
            .with("households", args.households)
            .with("rows", rows)
            .with("new", households.new)
            .with("unchanged", households.unchanged)
            .with("faulty", households.faulty)
            .with("changes", changes)
            .with("seconds", seconds)
            .with("rows_a_second", rows as f64 / seconds)
            .with("memory_mb", memory)
            .with("peak_mb", peak);
        line.print(args.json);
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

    use super::*;

    #[test]
    fn the_messy_spreadsheet_is_read_with_one_faulty_household_in_fifty() {
        let dir = tempfile::tempdir().unwrap();
        let storage: Arc<dyn Storage> = Arc::new(SqliteStorage::open(&dir.path().join("doorstep.db")).unwrap());
        let service =
            Service::open(storage, Arc::new(SystemClock), Arc::new(SystemEntropy), Committer::Inline).unwrap();
        let township = township(&service, 2).unwrap();
        let (bytes, rows) = messy(100, 3);
        let table = Table::read(&service, township, &bytes, &Options::default()).unwrap();
        let preview = table.preview(&service, Page::default()).unwrap();
        assert_eq!((preview.households.new, preview.households.faulty), (98, 2), "{:?}", preview.rows);
        let persons = preview.persons;
        assert_eq!((persons.new + persons.faulty) as usize, rows);
    }
}
