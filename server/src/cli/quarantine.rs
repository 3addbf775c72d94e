//! `doorstep quarantine`: changes that weren't accepted, listed, released or discarded.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use doorstep_core::id::{AreaId, DeviceId};

use super::admin::the_township;
use super::serve::{open_service, open_storage};
use super::words::Words;
use super::{DataOptions, Outcome};
use crate::say;
use crate::service::audit::Actor;
use crate::service::quarantine::{DECIDED_AT_ONCE, Released};
use crate::storage::{Decision, QuarantineFilter};
use crate::web::times;

/// Options of `quarantine`.
#[derive(Args)]
pub struct QuarantineArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List changes that weren't accepted, newest first: number, time, phone, record, reason, what became of it.
    List(ListArgs),
    /// Release changes: they are merged as they are, as if they had just come.
    Release(DecideArgs),
    /// Discard changes: they are kept, and nobody has to look at them any more.
    Discard(DecideArgs),
}

#[derive(Clone, Copy, ValueEnum)]
enum Shown {
    Open,
    Released,
    Discarded,
    All,
}

#[derive(Args)]
struct ListArgs {
    #[command(flatten)]
    data: DataOptions,
    /// The township's id, where there are several.
    #[arg(long)]
    township: Option<AreaId>,
    /// Which ones.
    #[arg(long, value_enum, default_value_t = Shown::Open)]
    state: Shown,
    /// Only of this phone.
    #[arg(long)]
    device: Option<DeviceId>,
    /// Only with this reason, such as `lost_device`.
    #[arg(long)]
    reason: Option<String>,
    /// Only before this number.
    #[arg(long)]
    before: Option<u64>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
}

#[derive(Args)]
struct DecideArgs {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    words: Words,
    /// The township's id, where there are several.
    #[arg(long)]
    township: Option<AreaId>,
    /// Why; stands in the audit log.
    #[arg(long, value_parser = super::reason)]
    reason: String,
    /// Their numbers, from `doorstep quarantine list`.
    #[arg(required = true, num_args = 1..=DECIDED_AT_ONCE)]
    numbers: Vec<u64>,
}

/// Runs the command.
pub fn quarantine(args: &QuarantineArgs) -> Outcome {
    match &args.command {
        Command::List(args) => list(args),
        Command::Release(args) => release(args),
        Command::Discard(args) => discard(args),
    }
}

fn list(args: &ListArgs) -> Outcome {
    let storage = open_storage(&args.data)?;
    let filter = QuarantineFilter {
        decision: match args.state {
            Shown::Open => Some(Decision::Open),
            Shown::Released => Some(Decision::Released),
            Shown::Discarded => Some(Decision::Discarded),
            Shown::All => None,
        },
        device: args.device,
        reason: args.reason.clone(),
        before: args.before,
        limit: args.limit,
    };
    for row in storage.quarantine_list(the_township(&*storage, args.township)?, &filter)? {
        let time = times::minute(row.received_ms).unwrap_or_default();
        let (change, decision) = (&row.change, row.decision.code());
        let of = (&change.identity.record_type, change.record);
        say!("{}  {time}  {}  {} {}  {}  {decision}", row.no, row.device, of.0, of.1, change.reason);
    }
    Ok(ExitCode::SUCCESS)
}

/// Says of each change what came of it; fails where one couldn't be released.
pub fn print_released(released: &[Released], words: Words) -> Outcome {
    for Released { no, refused } in released {
        let no = no.to_string();
        match refused {
            None => words.say("quarantine.released", &[("no", &no)]),
            Some(why) => words.say("quarantine.refused", &[("no", &no), ("why", why)]),
        }
    }
    let refused = released.iter().filter(|r| r.refused.is_some()).count();
    let (done, refused_n) = ((released.len() - refused).to_string(), refused.to_string());
    words.say("quarantine.all", &[("n", &done), ("refused", &refused_n)]);
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn release(args: &DecideArgs) -> Outcome {
    let service = open_service(&args.data)?;
    let township = the_township(&*service.storage, args.township)?;
    print_released(&service.release(Actor::CommandLine, township, &args.numbers, &args.reason)?, args.words)
}

fn discard(args: &DecideArgs) -> Outcome {
    let service = open_service(&args.data)?;
    let township = the_township(&*service.storage, args.township)?;
    let discarded = service.discard(Actor::CommandLine, township, &args.numbers, &args.reason)?;
    args.words.say("quarantine.discarded", &[("n", &discarded.to_string())]);
    Ok(ExitCode::SUCCESS)
}
