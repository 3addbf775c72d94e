//! `doorstep audit`: the audit log as a list, as a file, and whether it is whole.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use doorstep_core::id::Chain;
use doorstep_core::protocol::Position;

use super::files::new_private_file;
use super::serve::open_service;
use super::{DataOptions, Outcome};
use crate::say;
use crate::service::Service;
use crate::service::audit::export::Format;
use crate::service::audit::{Act, Action, Actor};
use crate::storage::{AuditFilter, AuditRow, StorageError};
use crate::web::times;

/// Options of `audit`.
#[derive(Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the newest entries: number, time, who, what, about what, why.
    List(ListArgs),
    /// Write the whole log to a file; the export itself is an entry.
    Export(ExportArgs),
    /// Recompute the chain: exit status 0 when the log is whole, 1 with the number of the entry that is changed or missing.
    Verify(VerifyArgs),
}

#[derive(Args)]
struct ListArgs {
    #[command(flatten)]
    data: DataOptions,
    /// Only this action, such as `masked_look`.
    #[arg(long)]
    action: Option<String>,
    /// Only about this, such as `record/ID`, `device/ID`, `user/ID`.
    #[arg(long)]
    about: Option<String>,
    /// Only before this number.
    #[arg(long)]
    before: Option<u64>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
}

#[derive(Args)]
struct ExportArgs {
    #[command(flatten)]
    data: DataOptions,
    /// The file to write; must not exist. Only its owner may read it.
    file: PathBuf,
    /// How.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Args)]
struct VerifyArgs {
    #[command(flatten)]
    data: DataOptions,
    /// Where the log stood earlier, as `verify` or `export` printed it: NUMBER:CHAIN. Shows that entries were cut off at the
    /// end, or the whole log written anew.
    #[arg(long, value_parser = position)]
    noted: Option<Position>,
}

fn position(text: &str) -> Result<Position, &'static str> {
    let bad = "a position is NUMBER:CHAIN, with the chain as 32 hexadecimal digits";
    let (seq, chain) = text.split_once(':').ok_or(bad)?;
    let chain = HEXLOWER.decode(chain.as_bytes()).ok().and_then(|c| c.try_into().ok()).ok_or(bad)?;
    Ok(Position { seq: seq.parse().map_err(|_| bad)?, chain: Chain(chain) })
}

fn shown(position: Position) -> String {
    format!("{}:{}", position.seq, HEXLOWER.encode(&position.chain.0))
}

/// Runs the command.
pub fn audit(args: &AuditArgs) -> Outcome {
    match &args.command {
        Command::List(args) => list(args),
        Command::Export(args) => export(args),
        Command::Verify(args) => verify(args),
    }
}

fn list(args: &ListArgs) -> Outcome {
    let filter = AuditFilter {
        action: args.action.clone(),
        subject: args.about.clone(),
        township: None,
        before: args.before,
        limit: args.limit,
        ..AuditFilter::default()
    };
    for AuditRow { position, entry } in open_service(&args.data)?.storage.audit(&filter)? {
        let time = times::minute(entry.at_ms).unwrap_or_default();
        let further = [&entry.subjects, &entry.reason, &entry.details];
        let further: Vec<&str> = further.into_iter().map(String::as_str).filter(|t| !t.is_empty()).collect();
        say!("{}  {time}  {}  {}  {}", position.seq, entry.actor, entry.action, further.join("  "));
    }
    Ok(ExitCode::SUCCESS)
}

fn export(args: &ExportArgs) -> Outcome {
    let service = open_service(&args.data)?;
    let mut file = BufWriter::new(new_private_file(&args.file)?);
    let act = Act::new(Action::Export).with("what", "audit").with("format", args.format.code());
    service.audit(Actor::CommandLine, act)?;
    let written = service.write_audit(args.format, &mut file)?;
    file.flush()?;
    say!("{written} entries written to {}; the log stands at {}", args.file.display(), head(&service)?);
    Ok(ExitCode::SUCCESS)
}

fn head(service: &Service) -> Result<String, StorageError> {
    service.storage.audit_head().map(shown)
}

fn verify(args: &VerifyArgs) -> Outcome {
    match open_service(&args.data)?.verify_audit(args.noted)? {
        Ok(whole) => {
            let noted = args.noted.map(|n| format!(", with {} among them", shown(n))).unwrap_or_default();
            say!(
                "whole: {} entries recomputed and compared{noted}; the log stands at {}",
                whole.entries,
                shown(whole.head)
            );
            Ok(ExitCode::SUCCESS)
        }
        Err(fault) => {
            say!("not whole: {fault}");
            Ok(ExitCode::FAILURE)
        }
    }
}
