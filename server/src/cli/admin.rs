//! An administrator's commands.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use doorstep_core::clock::random;
use doorstep_core::id::AreaId;
use doorstep_core::protocol::AreaEntry;

use super::serve::{database_file, open_service};
use super::{DataOptions, Outcome};
use crate::say;
use crate::service::audit::{Act, Action, Actor};
use crate::storage::{READS_CLOSED, Storage, TownshipId, Write, sqlite};

/// Only the data's place.
#[derive(Args)]
pub struct DataArgs {
    #[command(flatten)]
    data: DataOptions,
}

/// Options of `township`.
#[derive(Args)]
pub struct TownshipArgs {
    #[command(flatten)]
    data: DataOptions,
    /// Its Chinese name.
    #[arg(long)]
    name: String,
    /// Its English name.
    #[arg(long, default_value = "")]
    name_en: String,
    /// A village's name; once for each.
    #[arg(long = "village", required = true)]
    villages: Vec<String>,
}

/// Options of `backup`.
#[derive(Args)]
pub struct BackupArgs {
    #[command(flatten)]
    data: DataOptions,
    /// The file to write; must not exist.
    to: PathBuf,
}

/// Options of `restore`.
#[derive(Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    data: DataOptions,
    /// The backup.
    from: PathBuf,
}

/// Makes a township.
pub fn township(args: &TownshipArgs) -> Outcome {
    let service = open_service(&args.data)?;
    let id = || AreaId(random(&*service.entropy));
    let township = id();
    let area = |area, parent, level: &str, zh: &str, en: &str| AreaEntry {
        area,
        parent,
        level: level.to_owned(),
        code: String::new(),
        name_zh: zh.to_owned(),
        name_en: if en.is_empty() { zh.to_owned() } else { en.to_owned() },
    };
    let mut areas = vec![area(township, None, "township", &args.name, &args.name_en)];
    areas.extend(args.villages.iter().map(|v| area(id(), Some(township), "village", v, "")));
    let made = areas.len() as u64;
    let act = Act::new(Action::AreaChanged).in_township(township).with("made", made);
    service.act(Actor::CommandLine, act, [Write::Areas(township, areas)])?;
    say!("township {township} with {} villages", args.villages.len());
    Ok(ExitCode::SUCCESS)
}

/// The township that is named, or the only one.
pub(super) fn the_township(
    storage: &dyn Storage,
    named: Option<AreaId>,
) -> Result<TownshipId, Box<dyn std::error::Error + Send + Sync>> {
    let townships = storage.townships()?;
    match named {
        Some(id) if townships.contains(&id) => Ok(id),
        None if townships.len() == 1 => Ok(townships[0]),
        _ => Err("name one of the townships with --township (make one with `doorstep township`)".into()),
    }
}

/// Writes a backup.
pub fn backup(args: &BackupArgs) -> Outcome {
    if args.to.exists() {
        return Err("the file exists already; a backup never replaces a file".into());
    }
    let service = open_service(&args.data)?;
    service.audit(Actor::CommandLine, Act::new(Action::Export).with("what", "backup"))?;
    service.storage.backup(&args.to)?;
    say!("backup written to {}", args.to.display());
    Ok(ExitCode::SUCCESS)
}

/// Puts a backup back.
pub fn restore(args: &RestoreArgs) -> Outcome {
    if args.data.database.is_some() {
        return Err("restore PostgreSQL with its own tools, then set reads_closed; see docs/operation.md".into());
    }
    let set_aside = sqlite::restore(&args.from, &database_file(&args.data.data)?)?;
    say!("restored from {}", args.from.display());
    if let Some(old) = set_aside {
        say!("the old database was set aside as {}", old.display());
    }
    open_service(&args.data)?.audit(Actor::CommandLine, Act::new(Action::Restored))?;
    say!("phones can push; they read again after `doorstep reopen`");
    Ok(ExitCode::SUCCESS)
}

/// Opens reading.
pub fn reopen(args: &DataArgs) -> Outcome {
    let service = open_service(&args.data)?;
    let open = Write::Setting(READS_CLOSED.to_owned(), "0".to_owned());
    service.act(Actor::CommandLine, Act::new(Action::Reopened), [open])?;
    say!("reading is open");
    Ok(ExitCode::SUCCESS)
}
