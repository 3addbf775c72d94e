//! `doorstep erase`: a person's answers, on legal ground.

use std::process::ExitCode;

use clap::Args;
use doorstep_core::id::{AreaId, RecordId};

use super::admin::the_township;
use super::serve::open_service;
use super::words::{Fault, Words};
use super::{DataOptions, Outcome};
use crate::say;
use crate::service::audit::Actor;
use crate::service::erasure::{Erase, Erasure, NotCovered};
use crate::storage::{RecordFilter, Storage, TownshipId};
use crate::web::times;

/// Options of `erase`. Without `--yes` it only says what would go.
#[derive(Args)]
pub struct EraseArgs {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    words: Words,
    /// The township, where there are several.
    #[arg(long)]
    township: Option<AreaId>,
    /// The household: its number, or its record's id.
    #[arg(long, required_unless_present = "clean")]
    household: Option<String>,
    /// The member: the instance of the household's answers (`member#INSTANCE/...`), or a name that only one member has.
    #[arg(long, required_unless_present = "clean")]
    member: Option<String>,
    /// The legal ground; stands in the audit log, so no names.
    #[arg(long, required_unless_present = "clean")]
    ground: Option<String>,
    /// A further answer that goes, such as a remark that mentions the person: RECORD:KEY, once for each.
    #[arg(long = "also", value_name = "RECORD:KEY", value_parser = further)]
    also: Vec<(RecordId, String)>,
    /// Erase.
    #[arg(long)]
    yes: bool,
    /// Only write the database's files anew, after an erasure that couldn't.
    #[arg(long, conflicts_with_all = ["household", "member", "ground", "also", "yes"])]
    clean: bool,
}

fn further(text: &str) -> Result<(RecordId, String), String> {
    let (record, key) = text.split_once(':').ok_or("RECORD:KEY")?;
    Ok((record.parse().map_err(|_| "RECORD isn't an id")?, key.to_owned()))
}

/// Runs the command.
pub fn erase(args: &EraseArgs) -> Outcome {
    let service = open_service(&args.data)?;
    let (Some(household), Some(member), Some(ground)) = (&args.household, &args.member, &args.ground) else {
        if let Err(error) = service.clean_files() {
            print_uncovered(&NotCovered::of("remains"));
            return Err(error.into());
        }
        args.words.say("erase.clean", &[]);
        return Ok(ExitCode::SUCCESS);
    };
    let township = the_township(&*service.storage, args.township)?;
    let erase = Erase {
        household: household_by(&*service.storage, township, household)?,
        member: member.clone(),
        also: args.also.clone(),
        ground: ground.clone(),
    };
    let done = if args.yes {
        service.erase(Actor::CommandLine, township, &erase)?
    } else {
        service.plan_erasure(township, &erase)?
    };
    print(&done, args.words);
    Ok(if done.has_remains() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn household_by(
    storage: &dyn Storage,
    township: TownshipId,
    wanted: &str,
) -> Result<RecordId, Box<dyn std::error::Error + Send + Sync>> {
    if let Ok(id) = wanted.parse() {
        return Ok(id);
    }
    let (record_type, search) = (Some("household".to_owned()), Some(wanted.to_lowercase()));
    let rows = storage
        .list_records(township, &RecordFilter { record_type, search, limit: 1_000, ..RecordFilter::default() })?;
    let found: Vec<RecordId> = rows.iter().filter(|r| r.projection.label == wanted).map(|r| r.id).collect();
    match found[..] {
        [id] => Ok(id),
        [] => Err(Fault("error.no_household").into()),
        _ => Err(Fault("error.several_households").into()),
    }
}

fn print_uncovered(one: &NotCovered) {
    say!("  {}\n    {}\n    {}", one.code, one.message.zh, one.message.en);
}

fn print(done: &Erasure, words: Words) {
    for document in &done.documents {
        let (count, differences) = (document.answers.len().to_string(), document.differences.to_string());
        let of = [("type", document.record_type.as_str()), ("record", &document.record.to_string())];
        words.say("erase.document", &[of.as_slice(), &[("n", &count), ("differences", &differences)]].concat());
        document.answers.iter().for_each(|key| say!("  {key}"));
    }
    for (record, key) in &done.mentions {
        words.say("erase.mention", &[("record", &record.to_string()), ("key", key)]);
    }
    words.say("erase.held", &[("n", &done.held_changes.to_string())]);
    words.say("erase.uploads", &[("n", &done.refused_uploads.to_string())]);
    for phone in &done.phones {
        let synced = times::minute(phone.last_sync_ms).unwrap_or_default();
        let key = if phone.revoked { "erase.phone_shut" } else { "erase.phone" };
        words.say(key, &[("id", &phone.device.to_string()), ("synced", &synced)]);
    }
    words.say("erase.not_covered", &[]);
    done.not_covered.iter().for_each(print_uncovered);
    words.say(if done.erased { "erase.done" } else { "erase.planned" }, &[]);
}
