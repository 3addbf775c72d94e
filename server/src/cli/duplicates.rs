//! `doorstep duplicates`: households and members that may stand in the register twice.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use doorstep_core::id::AreaId;
use doorstep_core::link::Side;

use super::admin::the_township;
use super::serve::open_service;
use super::words::Words;
use super::{DataOptions, Outcome};
use crate::say;
use crate::service::desk::Desk;

/// Options of `duplicates`.
#[derive(Args)]
pub struct DuplicatesArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List candidates about which nobody has decided, the likeliest first: score, the two, why. Names aren't printed.
    List(ListArgs),
}

#[derive(Args)]
struct ListArgs {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    words: Words,
    /// The township's id, where there are several.
    #[arg(long)]
    township: Option<AreaId>,
    /// Only with one of the two in this area.
    #[arg(long)]
    area: Option<AreaId>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
}

/// Runs the command.
pub fn duplicates(args: &DuplicatesArgs) -> Outcome {
    let Command::List(args) = &args.command;
    let service = open_service(&args.data)?;
    let township = the_township(&*service.storage, args.township)?;
    let desk = Desk::new(service);
    let (open, _, found) = desk.open_candidates(township, args.area, (0, args.limit as usize))?;
    let shown = |side: &Side| match &side.member {
        Some(member) => format!("{}/{member}", side.household),
        None => side.household.to_string(),
    };
    for one in &open {
        let reasons: Vec<&str> = one.candidate.reasons.iter().map(|reason| reason.code()).collect();
        let (a, b) = &one.candidate.sides;
        let disputed = if one.is_disputed { args.words.text("duplicates.disputed") } else { "" };
        say!("{:>3}  {}  {}  {}{disputed}", one.candidate.score, shown(a), shown(b), reasons.join(" "));
    }
    let (count, households, pairs) = (open.len().to_string(), found.households.to_string(), found.compared.to_string());
    args.words.say("duplicates.all", &[("n", &count), ("households", &households), ("pairs", &pairs)]);
    Ok(ExitCode::SUCCESS)
}
