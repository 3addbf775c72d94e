//! `doorstep phone`: the real client core from a terminal, one data folder a phone.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use doorstep_core::client::filling::{FillOptions, Filling};
use doorstep_core::client::{NewRecord, Phone, PhoneError, answer};
use doorstep_core::clock::{SystemClock, SystemEntropy};
use doorstep_core::form::expression::{Spot, Tree};
use doorstep_core::form::session::Session;
use doorstep_core::id::{ChangeHash, RecordId, UserId};
use doorstep_core::life::EventKind;
use doorstep_core::record::{DifferingValue, Record};
use doorstep_core::store::{Enrolment, ListFilter, OpenError, RefusedUpload, Row};
use doorstep_core::sync::{Cancel, Progress, SyncReport};
use serde_json::json;
use time::UtcOffset;

use super::Outcome;
use super::form::eval::ClockOptions;
use crate::say;
use crate::web::times;

/// Options of `phone`.
#[derive(Args)]
pub struct PhoneArgs {
    /// The phone's data folder.
    #[arg(long, env = "DOORSTEP_PHONE", default_value = "doorstep-phone")]
    data: PathBuf,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    /// The zone of days and times in forms, as +08:00.
    #[arg(long, global = true, default_value = "+08:00", allow_hyphen_values = true)]
    zone: String,
    /// The language of labels and messages: zh or en.
    #[arg(long, global = true, default_value = "zh")]
    language: String,
    #[command(subcommand)]
    command: PhoneCommand,
}

#[derive(Subcommand)]
enum PhoneCommand {
    /// Enrol on a server with a one-time code, then sync once.
    Init {
        /// The server's address.
        #[arg(long, requires = "code", required_unless_present = "link")]
        server: Option<String>,
        /// The code.
        #[arg(long, requires = "server")]
        code: Option<String>,
        /// What a card's QR code says, in place of address and code.
        #[arg(long, conflicts_with_all = ["server", "code"])]
        link: Option<String>,
    },
    /// List households.
    Households {
        /// Only with this in name or number.
        #[arg(long, default_value = "")]
        search: String,
        /// Only of this village (part of its name).
        #[arg(long)]
        village: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Fill and finish a visit to a household.
    Visit {
        /// The household: its id, or its number.
        household: String,
        /// An answer: question=value.
        #[arg(long = "set", required = true)]
        set: Vec<String>,
    },
    /// Fill and finish the form of an event in a household's life: birth, death, marriage_in, marriage_out, member_in,
    /// member_out, new_head, household_move, household_split, household_union, household_end.
    Event {
        /// What happened.
        kind: String,
        /// The household: its id, or its number.
        household: String,
        /// An answer: question=value. Persons, households and areas may be given by name, several with commas.
        #[arg(long = "set", required = true)]
        set: Vec<String>,
    },
    /// Change answers of a record.
    Edit {
        /// The record: its id, or a household's number.
        record: String,
        /// An answer: question=value.
        #[arg(long = "set", required = true)]
        set: Vec<String>,
    },
    /// Add a household that isn't in the register.
    Add {
        /// The village (part of its name).
        #[arg(long)]
        village: String,
        /// An answer: question=value.
        #[arg(long = "set", required = true)]
        set: Vec<String>,
    },
    /// Show a record and what is about it.
    Show {
        /// The record: its id, or a household's number.
        record: String,
    },
    /// List answers that stand differently: record, name, question; below it each value, who gave it (the id of somebody else)
    /// and when, by the clock of their phone.
    Conflicts,
    /// Decide a difference.
    Resolve {
        /// The record: its id, or a household's number.
        record: String,
        /// The answer's key.
        key: String,
        /// The value that holds.
        value: String,
    },
    /// List what the server refused, with reasons and what to do.
    Refused,
    /// Make a refused change's edit anew, on what the phone shows now; the next sync sends it.
    Redo {
        /// The change, as `refused` lists it.
        change: ChangeHash,
    },
    /// Leave a refused change: it isn't shown any more. The server keeps what it received.
    Leave {
        /// The change, as `refused` lists it.
        change: ChangeHash,
    },
    /// On a full disk: give the phone's reserve of 8 MiB back, so that open work can be finished and sent.
    FreeSpace,
    /// What the next sync will cost.
    Cost {
        /// Ask the server what waits there (a few hundred bytes).
        #[arg(long)]
        ask: bool,
    },
    /// Sync.
    Sync,
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Runs a phone command.
pub fn phone(args: &PhoneArgs) -> Outcome {
    let done = open_and_run(args);
    if let Err(error) = &done {
        ["zh", "en"].iter().filter_map(|language| advice(&**error, language)).for_each(|text| eprintln!("{text}"));
        if is_storage_full(&**error) {
            eprintln!("  doorstep phone --data {} free-space", args.data.display());
        }
    }
    done
}

fn advice(error: &(dyn std::error::Error + 'static), language: &str) -> Option<&'static str> {
    let of_phone = error.downcast_ref::<PhoneError>().and_then(|error| error.advice(language));
    of_phone.or_else(|| error.downcast_ref::<OpenError>().and_then(|error| error.advice(language)))
}

fn is_storage_full(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(PhoneError::is_storage_full)
        || error.downcast_ref().is_some_and(OpenError::is_storage_full)
}

fn open_and_run(args: &PhoneArgs) -> Outcome {
    if matches!(args.command, PhoneCommand::FreeSpace) {
        // without opening: a full disk may refuse that, too
        let freed = Phone::free_space_in(&args.data);
        say!("{}", freed.message("zh"));
        say!("{}", freed.message("en"));
        return Ok(ExitCode::SUCCESS);
    }
    let (phone, notices) = Phone::open(&args.data, Arc::new(SystemClock), Arc::new(SystemEntropy))?;
    for notice in notices {
        eprintln!("{notice}");
    }
    run(&phone, args)?;
    phone.close()?;
    Ok(ExitCode::SUCCESS)
}

fn run(phone: &Phone, args: &PhoneArgs) -> Result<(), Fault> {
    match &args.command {
        PhoneCommand::Init { server, code, link } => {
            let enrolment = match (server, code, link) {
                (_, _, Some(link)) => phone.enrol_by_link(link)?,
                (Some(server), Some(code), None) => phone.enrol(server, code)?,
                _ => return Err("give --server and --code, or --link".into()),
            };
            say!("enrolled: {} ({})", enrolment.user_name, enrolment.device);
            sync(phone, args)
        }
        PhoneCommand::Households { search, village, limit } => {
            let area = village.as_deref().map(|v| area_named(phone, v)).transpose()?;
            phone.households(area, search, 0, *limit)?.iter().for_each(|row| print_row(args, row));
            Ok(())
        }
        PhoneCommand::Visit { household, set } => {
            let draft = phone.start("visit", Some(find(phone, household)?))?;
            finish(phone, args, draft, set, &NewRecord::default())
        }
        PhoneCommand::Event { kind, household, set } => {
            let kind = EventKind::named(kind).ok_or_else(|| {
                let kinds: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
                format!("there is no event {kind:?}: {}", kinds.join(", "))
            })?;
            let form = phone.forms()?.into_iter().find(|form| form.event() == Some(kind));
            let form = form.ok_or(PhoneError::UnknownForm)?;
            let draft = phone.start(&form.name, Some(find(phone, household)?))?;
            finish(phone, args, draft, set, &NewRecord::default())
        }
        PhoneCommand::Edit { record, set } => {
            let draft = phone.edit(find(phone, record)?)?;
            finish(phone, args, draft, set, &NewRecord::default())
        }
        PhoneCommand::Add { village, set } => {
            let area = area_named(phone, village)?;
            let draft = phone.start("household", None)?;
            finish(phone, args, draft, set, &NewRecord { area: Some(area), campaign: None })
        }
        PhoneCommand::Show { record } => show(phone, args, find(phone, record)?),
        PhoneCommand::Conflicts => conflicts(phone, args),
        PhoneCommand::Resolve { record, key, value } => resolve(phone, find(phone, record)?, key, value),
        PhoneCommand::Refused => {
            refused(phone, args)?;
            refused_upload(phone)
        }
        PhoneCommand::Redo { change } => settled(phone.redo_refused(*change)?),
        PhoneCommand::Leave { change } => settled(phone.leave_refused(*change)?),
        PhoneCommand::FreeSpace => Ok(()),
        PhoneCommand::Cost { ask } => {
            let cost = phone.cost(*ask)?;
            match (cost.changes_down, cost.bytes_down) {
                (Some(changes), Some(bytes)) => say!(
                    "up: {} bytes ({} changes); down: {changes} changes, {bytes} bytes before compression",
                    cost.bytes_up,
                    cost.changes_up
                ),
                _ => say!("up: {} bytes ({} changes); ask for down with --ask", cost.bytes_up, cost.changes_up),
            }
            Ok(())
        }
        PhoneCommand::Sync => sync(phone, args),
    }
}

/// Fills a form as a screen would, and finishes it; on an error nothing of it stays.
fn finish(
    phone: &Phone,
    args: &PhoneArgs,
    draft: doorstep_core::store::DraftId,
    set: &[String],
    new: &NewRecord,
) -> Result<(), Fault> {
    let filled = fill(phone, args, draft, set).and_then(|filling| Ok(phone.finish_filled(filling, new)?));
    match filled {
        Ok(record) => say!("{record}"),
        Err(error) => {
            phone.discard(draft)?;
            return Err(error);
        }
    }
    Ok(())
}

fn fill(
    phone: &Phone,
    args: &PhoneArgs,
    draft: doorstep_core::store::DraftId,
    set: &[String],
) -> Result<Filling, Fault> {
    let mut pairs = Vec::new();
    for pair in set {
        let (key, value) = key_and_value(pair)?;
        if key.contains("/@") {
            // order and removal of a repeat instance have no place in the form
            phone.answer_text(draft, key, value)?;
        } else {
            pairs.push((key, value));
        }
    }
    let language = args.language.clone();
    let offset_minutes = ClockOptions { zone: args.zone.clone(), now: None }.offset_minutes()?;
    let mut filling =
        phone.fill(draft, FillOptions { offset_minutes, language: language.clone(), ..FillOptions::default() })?;
    for (key, value) in pairs {
        let (key, value) = ticked(&filling, key, value);
        let spot = place(filling.session(), key).ok_or_else(|| PhoneError::UnknownQuestion(key.to_owned()))?;
        let value = filling.session().by_label(spot, &value).unwrap_or(value);
        match filling.answer(spot, &value) {
            Ok(_) => {}
            Err(PhoneError::Refused(refusal)) => {
                return Err(format!("{}: {}", filling.session().label(spot), refusal.message(&language)).into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    for problem in filling.session().problems() {
        let label = filling.session().label(problem.spot);
        eprintln!("{label} ({}): {}", problem.path, problem.kind.message(&language));
    }
    Ok(filling)
}

/// `question=value`; a choice of a multiple one has `=` in its key: `question=choice=true`.
fn key_and_value(pair: &str) -> Result<(&str, &str), Fault> {
    let tick = pair.rsplit_once('=').filter(|(key, v)| key.contains('=') && matches!(*v, "true" | "false"));
    Ok(tick.or_else(|| pair.split_once('=')).ok_or_else(|| format!("write question=value, not {pair:?}"))?)
}

/// The place of an answer's key, or of a path below the form's root with indexes from 1: `member/name`, `member[2]/name`.
fn place(session: &Session, key: &str) -> Option<Spot> {
    let root = session.model().tree().name(Tree::ROOT);
    session.spot(key).or_else(|| session.at_path(&format!("/{root}/{key}")))
}

/// A tick as the whole answer of its question: what is chosen there, with or without the choice.
fn ticked<'a>(filling: &Filling, key: &'a str, value: &str) -> (&'a str, String) {
    let Some((question, choice)) = key.split_once('=') else { return (key, value.to_owned()) };
    let now = place(filling.session(), question).map(|spot| filling.session().value(spot)).unwrap_or_default();
    let others = now.split_whitespace().filter(|c| *c != choice);
    let chosen: Vec<&str> = others.chain((value == "true").then_some(choice)).collect();
    (question, chosen.join(" "))
}

fn find(phone: &Phone, named: &str) -> Result<RecordId, Fault> {
    if let Ok(id) = named.parse::<RecordId>() {
        return Ok(id);
    }
    let rows = phone.households(None, named, 0, 3)?;
    let exact: Vec<&Row> = rows.iter().filter(|r| r.label == named).collect();
    match (exact.as_slice(), rows.as_slice()) {
        ([row], _) => Ok(row.id),
        ([], [row]) => Ok(row.id),
        ([], []) => Err("no such household on this phone; sync first?".into()),
        _ => Err("several households fit; use the id".into()),
    }
}

fn area_named(phone: &Phone, part: &str) -> Result<doorstep_core::id::AreaId, Fault> {
    let areas = phone.areas()?;
    let mut found =
        areas.iter().filter(|a| a.level == "village" && (a.name_zh.contains(part) || a.name_en.contains(part)));
    match (found.next(), found.next()) {
        (Some(area), None) => Ok(area.area),
        (None, _) => Err("no such village on this phone".into()),
        _ => Err("several villages fit".into()),
    }
}

fn print_row(args: &PhoneArgs, row: &Row) {
    if args.json {
        say!(
            "{}",
            json!({"id": row.id, "type": row.record_type, "title": row.title, "label": row.label,
            "status": row.status, "persons": row.persons, "differences": row.differences})
        );
    } else {
        let mark = if row.differences > 0 { "\t[differs]" } else { "" };
        say!("{}\t{}\t{}\t{}\t{}{mark}", row.id, row.label, row.title, row.status, row.persons);
    }
}

fn show(phone: &Phone, args: &PhoneArgs, id: RecordId) -> Result<(), Fault> {
    let view = phone.view(id)?;
    if args.json {
        say!("{}", view.json);
        return Ok(());
    }
    let record = phone.record(id)?;
    let form = phone.form_versions()?.of_type(core_type(&record));
    for (key, value) in record.answers() {
        let question = form.as_ref().and_then(|f| f.question_of(&key));
        let label = question.map_or(key.as_str(), |q| q.label(&args.language, "zh"));
        say!("{label}\t{}\t({key})", value.to_json());
    }
    let people = People::of(phone, args)?;
    for difference in &view.differences {
        say!("differs: {}", difference.key);
        difference.values.iter().for_each(|value| say!("\t{}", people.line(value)));
    }
    for row in phone.united_with(id)? {
        say!("one with it: {}\t{}\t{}\t{}", row.record_type, row.title, row.label, row.id);
    }
    for row in phone.list(ListFilter { subject: Some(id), limit: 50, ..ListFilter::default() })? {
        say!("about it: {}\t{}\t{}\t{}", row.record_type, row.title, row.label, row.id);
    }
    Ok(())
}

/// Who gave a value and when, as far as this phone knows people.
struct People {
    own: Option<Enrolment>,
    zone: UtcOffset,
}

impl People {
    fn of(phone: &Phone, args: &PhoneArgs) -> Result<Self, Fault> {
        let minutes = ClockOptions { zone: args.zone.clone(), now: None }.offset_minutes()?;
        Ok(Self { own: phone.enrolment()?, zone: UtcOffset::from_whole_seconds(minutes * 60)? })
    }

    /// The name of the phone's own person; of others it knows the id.
    fn name(&self, user: UserId) -> String {
        let own = self.own.as_ref().filter(|own| own.user == user);
        own.map_or_else(|| user.to_string(), |own| own.user_name.clone())
    }

    fn time(&self, value: &DifferingValue) -> String {
        times::minute_in(self.zone, value.claimed_s).unwrap_or_default()
    }

    fn line(&self, value: &DifferingValue) -> String {
        format!("{}\t{}\t{}", value.value.to_json(), self.name(value.user), self.time(value))
    }
}

fn conflicts(phone: &Phone, args: &PhoneArgs) -> Result<(), Fault> {
    let people = People::of(phone, args)?;
    for row in phone.list(ListFilter { with_differences: true, limit: 500, ..ListFilter::default() })? {
        for difference in phone.view(row.id)?.differences {
            if args.json {
                let value = |v: &DifferingValue| {
                    json!({"value": v.value.to_json(), "user": v.user, "name": people.name(v.user),
                        "claimed_s": v.claimed_s})
                };
                let values: Vec<_> = difference.values.iter().map(value).collect();
                say!("{}", json!({"record": row.id, "key": difference.key, "values": values}));
            } else {
                say!("{}\t{}\t{}", row.id, row.title, difference.key);
                difference.values.iter().for_each(|value| say!("\t{}", people.line(value)));
            }
        }
    }
    Ok(())
}

/// The changes that the server refused: what they would have written, what happened, and what to do.
fn refused(phone: &Phone, args: &PhoneArgs) -> Result<(), Fault> {
    for row in phone.refused()? {
        let (what, advice) = (row.what(&args.language), row.advice(&args.language));
        if args.json {
            let edits: Vec<_> = row.edits.iter().map(|e| json!({"key": e.key, "value": e.value.to_json()})).collect();
            say!(
                "{}",
                json!({"record": row.record, "change": row.hash, "reason": row.reason, "what": what, "advice": advice,
                "edits": edits})
            );
            continue;
        }
        say!("{}\t{}\t{}", row.record, row.reason, row.hash);
        row.edits.iter().for_each(|edit| say!("  {} = {}", edit.key, edit.value.to_json()));
        say!("  {what}");
        say!("  {advice}");
    }
    Ok(())
}

fn settled(was_refused: bool) -> Result<(), Fault> {
    if was_refused { Ok(()) } else { Err("no such change is refused; `doorstep phone refused` lists them".into()) }
}

/// The upload that the server refused as a whole: which, why, and what to do, in both languages.
fn refused_upload(phone: &Phone) -> Result<(), Fault> {
    let Some(upload) = phone.refused_upload()? else { return Ok(()) };
    let RefusedUpload { number, changes, bytes, reason, times, .. } = &upload;
    say!("upload {number}: {changes} changes, {bytes} bytes, refused in {times} sync(s) ({reason})");
    for language in ["zh", "en"] {
        say!("  {}", upload.what(language));
        say!("  {}", upload.advice(language));
    }
    Ok(())
}

/// The record type whose form reads a record: a part's is its core's.
fn core_type(record: &Record) -> &str {
    record.identity().record_type.split('.').next().unwrap_or_default()
}

fn resolve(phone: &Phone, record: RecordId, key: &str, text: &str) -> Result<(), Fault> {
    let opened = phone.record(record)?;
    let form = phone.form_versions()?.of_type(core_type(&opened)).ok_or("no form for this record")?;
    for (key, value) in answer::parse(&form, key, text)? {
        phone.resolve(record, &key, &value)?;
    }
    Ok(())
}

struct Lines;

impl Progress for Lines {
    fn progressed(&self, report: &SyncReport) {
        eprint!("\r{} up, {} down, {} records", report.bytes_up, report.bytes_down, report.records_received);
    }
}

fn sync(phone: &Phone, args: &PhoneArgs) -> Result<(), Fault> {
    let report = phone.sync(&Lines, &Cancel::default())?;
    eprintln!();
    if args.json {
        say!(
            "{}",
            json!({
                "requests": report.requests, "bytes_up": report.bytes_up, "bytes_down": report.bytes_down,
                "changes_sent": report.changes_sent, "changes_acknowledged": report.changes_acknowledged,
                "changes_waiting": report.changes_waiting, "refused": report.refused,
                "upload_refused": report.upload_refused,
                "records_received": report.records_received, "changes_received": report.changes_received,
                "remade": report.remade, "rewound": report.rewound, "clock_off_ms": report.clock_off_ms,
            })
        );
    } else {
        say!(
            "synced in {} request(s): {} changes acknowledged, {} records received, {} bytes up, {} bytes down",
            report.requests,
            report.changes_acknowledged,
            report.records_received,
            report.bytes_up,
            report.bytes_down
        );
        for (reason, count) in &report.refused {
            say!("refused: {count} ({reason}); see `doorstep phone refused`");
        }
        if report.upload_refused.is_some() {
            refused_upload(phone)?;
        }
        for language in ["zh", "en"] {
            if let Some(advice) = report.clock_advice(language) {
                say!("{advice}");
            }
        }
    }
    Ok(())
}
