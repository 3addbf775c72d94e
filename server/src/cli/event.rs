//! `doorstep event`: events in the life of households from which something doesn't follow yet.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use doorstep_core::id::AreaId;

use super::admin::the_township;
use super::serve::{open_service, open_storage};
use super::{DataOptions, Outcome};
use crate::messages::Language;
use crate::say;
use crate::web::{texts, times};

/// Options of `event`.
#[derive(Args)]
pub struct EventArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List events that can't be applied yet: record, since when, why, in Chinese and English.
    Waiting(WaitingArgs),
    /// Try them again now; otherwise that happens when what they wait for arrives, and every ten minutes.
    Retry(WaitingArgs),
}

#[derive(Args)]
struct WaitingArgs {
    #[command(flatten)]
    data: DataOptions,
    /// The township's id, where there are several.
    #[arg(long)]
    township: Option<AreaId>,
}

/// Events in one page of the list.
const PAGE: u32 = 500;

/// Runs the command.
pub fn event(args: &EventArgs) -> Outcome {
    match &args.command {
        Command::Waiting(args) => waiting(args),
        Command::Retry(args) => retry(args),
    }
}

fn waiting(args: &WaitingArgs) -> Outcome {
    let storage = open_storage(&args.data)?;
    let township = the_township(&*storage, args.township)?;
    let (mut after, mut found) = (None, 0);
    loop {
        let page = storage.waiting_events(township, after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(last.event);
        found += page.len();
        for event in &page {
            let since = times::minute(event.since_ms).unwrap_or_default();
            let [zh, en] = [Language::Zh, Language::En].map(|language| texts::reason(&event.reason, language));
            say!("{}  {since}  {}  {zh}  {en}", event.event, event.reason);
        }
    }
    say!("{found} waiting");
    Ok(ExitCode::SUCCESS)
}

fn retry(args: &WaitingArgs) -> Outcome {
    let service = open_service(&args.data)?;
    let township = the_township(&*service.storage, args.township)?;
    let (done, left) = service.retry_events(township)?;
    say!("{done} done, {left} still waiting");
    Ok(ExitCode::SUCCESS)
}
