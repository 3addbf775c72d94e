//! The command line: `serve`, `demo`, `phone`, `bench`, `form`, and an administrator's tools.

pub mod admin;
mod allocator;
pub mod area;
pub mod audit;
pub mod device;
pub mod duplicates;
pub mod erase;
mod event;
pub mod figures;
mod files;
pub mod form;
pub mod grant;
pub mod invite;
#[cfg(feature = "tools")]
pub mod phone;
pub mod quarantine;
pub mod register;
pub mod role;
pub mod serve;
pub mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Doorstep: offline-first household surveys.
#[derive(Parser)]
#[command(name = "doorstep", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::ServeArgs),
    /// Make an invented township, run a campaign week on it and show what merged.
    #[cfg(feature = "tools")]
    Demo(crate::demo::run::DemoArgs),
    /// A phone on the command line.
    #[cfg(feature = "tools")]
    Phone(phone::PhoneArgs),
    /// Measure.
    #[cfg(feature = "tools")]
    Bench(crate::bench::BenchArgs),
    /// Figures by area: show, verify, freeze.
    Figures(figures::FiguresArgs),
    /// Tools for authors of forms.
    Form(form::FormArgs),
    /// Households and members from spreadsheets: preview, import, undo.
    Register(register::RegisterArgs),
    /// Households and members that may stand in the register twice.
    Duplicates(duplicates::DuplicatesArgs),
    /// Make an empty township with villages.
    Township(admin::TownshipArgs),
    /// Phones: invite, list, report lost, shut out.
    Device(device::DeviceArgs),
    /// Events in the life of households that can't be applied yet: list, try again.
    Event(event::EventArgs),
    /// Changes that weren't accepted: list, release, discard.
    Quarantine(quarantine::QuarantineArgs),
    #[command(hide = true)]
    Invite(invite::InviteArgs),
    #[command(hide = true)]
    Phones(device::ListArgs),
    #[command(hide = true)]
    Revoke(device::RevokeArgs),
    /// Roles: list, show, change.
    Role(role::RoleArgs),
    /// Who holds which role where, and who is paired with which household: list, give, pair, end.
    Grant(grant::GrantArgs),
    /// Villages and groups: list, add, rename, merge.
    Area(area::AreaArgs),
    /// Erase a person on legal ground; without --yes only say what would go.
    Erase(erase::EraseArgs),
    /// The audit log: who signed in, looked at masked answers, exported, changed rights and phones.
    Audit(audit::AuditArgs),
    /// Write a consistent copy of the database, keys included.
    Backup(admin::BackupArgs),
    /// Put a copy back; the old database is set aside and reading stays closed until `reopen`.
    Restore(admin::RestoreArgs),
    /// Open reading again after a restore, once phones and grants were looked through.
    Reopen(admin::DataArgs),
}

/// Where the data is.
#[derive(Args, Clone)]
pub struct DataOptions {
    /// The data folder.
    #[arg(long, env = "DOORSTEP_DATA", default_value = "doorstep-data")]
    pub data: PathBuf,
    /// A PostgreSQL database in place of the folder's SQLite file: postgres://user@host/name.
    #[arg(long, env = "DOORSTEP_DATABASE", hide_env_values = true)]
    pub database: Option<String>,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    if let Err(error) = allocator::settle() {
        say_error(&error);
    }
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::serve(&args),
        #[cfg(feature = "tools")]
        Command::Demo(args) => crate::demo::run::demo(&args),
        #[cfg(feature = "tools")]
        Command::Phone(args) => phone::phone(&args),
        #[cfg(feature = "tools")]
        Command::Bench(args) => crate::bench::bench(&args),
        Command::Figures(args) => figures::figures(&args),
        Command::Form(args) => form::form(&args),
        Command::Register(args) => register::register(&args),
        Command::Duplicates(args) => duplicates::duplicates(&args),
        Command::Township(args) => admin::township(&args),
        Command::Invite(args) => invite::invite(&args),
        Command::Device(args) => device::device(&args),
        Command::Event(args) => event::event(&args),
        Command::Quarantine(args) => quarantine::quarantine(&args),
        Command::Phones(args) => device::list(&args),
        Command::Revoke(args) => device::revoke(&args),
        Command::Role(args) => role::role(&args),
        Command::Grant(args) => grant::grant(&args),
        Command::Area(args) => area::area(&args),
        Command::Erase(args) => erase::erase(&args),
        Command::Audit(args) => audit::audit(&args),
        Command::Backup(args) => admin::backup(&args),
        Command::Restore(args) => admin::restore(&args),
        Command::Reopen(args) => admin::reopen(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            say_error(&*error);
            if let Some(text) = words::in_chinese(&*error) {
                eprintln!("{text}");
            }
            ExitCode::FAILURE
        }
    }
}

/// What a command gives: an exit code, or any error to be printed with its causes.
pub type Outcome = Result<ExitCode, Box<dyn std::error::Error + Send + Sync>>;

/// A reason that stands in the audit log: some words, not too many.
fn reason(text: &str) -> Result<String, String> {
    let (text, most) = (text.trim(), crate::service::audit::REASON_CHARS);
    let fits = !text.is_empty() && text.chars().count() <= most;
    fits.then(|| text.to_owned()).ok_or_else(|| format!("a reason has 1 to {most} characters"))
}

fn say_error(error: &dyn std::error::Error) {
    eprintln!("doorstep: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("  because: {cause}");
        source = cause.source();
    }
}

/// Prints a line for people or scripts.
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => { println!($($arg)*) };
}
