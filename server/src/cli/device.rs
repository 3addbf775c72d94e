//! `doorstep device`: phones invited, listed, reported lost, shut out.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use doorstep_core::id::{AreaId, DeviceId, UserId};
use doorstep_core::protocol::LOST_DEVICE;

use super::admin::the_township;
use super::invite::{InviteArgs, invite};
use super::quarantine::print_released;
use super::serve::{open_service, open_storage};
use super::words::{Fault, Words};
use super::{DataOptions, Outcome};
use crate::messages;
use crate::say;
use crate::service::audit::Actor;
use crate::storage::{Decision, Device, QuarantineFilter, Storage, StorageError};
use crate::web::times;

/// Options of `device`.
#[derive(Args)]
pub struct DeviceArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Invite a person's phone: prints a one-time code; or many people's, as cards with QR codes for printing.
    Invite(InviteArgs),
    /// List the phones of a township: id, name, enrolled, last sync, how far behind, lost, erased, revoked.
    List(ListArgs),
    /// Report a phone lost: it reads nothing any more, hands over what it had and erases itself at its next contact.
    Lost(LostArgs),
    /// Withdraw a wrong report: a phone that hasn't erased itself goes on as if nothing had been.
    Withdraw(ReasonArgs),
    /// How far the erasing of a lost phone has come, and how many of its changes wait to be looked at.
    WipeState(PhoneArgs),
    /// Accept what a lost phone handed over, once it was looked at: its changes are merged as if they had just come.
    Accept(ReasonArgs),
    /// Shut a phone out at once and for good; what is on it stays there.
    Revoke(RevokeArgs),
}

/// Options of `device list`.
#[derive(Args)]
pub struct ListArgs {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    words: Words,
    /// The township's id, where there are several.
    #[arg(long)]
    township: Option<AreaId>,
}

/// Options of `device revoke`.
#[derive(Args)]
pub struct RevokeArgs {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    words: Words,
    /// The phone's id, from `doorstep device list`.
    device: DeviceId,
    /// Why; stands in the audit log.
    #[arg(long, default_value = "")]
    reason: String,
}

#[derive(Args)]
struct LostArgs {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    words: Words,
    /// The phone's id, from `doorstep device list`.
    device: DeviceId,
    /// Why; stands in the audit log.
    #[arg(long, default_value = "")]
    reason: String,
}

#[derive(Args)]
struct ReasonArgs {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    words: Words,
    /// The phone's id, from `doorstep device list`.
    device: DeviceId,
    /// Why, or who looked at it and what was found; stands in the audit log.
    #[arg(long, value_parser = super::reason)]
    reason: String,
}

#[derive(Args)]
struct PhoneArgs {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    words: Words,
    /// The phone's id, from `doorstep device list`.
    device: DeviceId,
}

/// Runs the command.
pub fn device(args: &DeviceArgs) -> Outcome {
    match &args.command {
        Command::Invite(args) => invite(args),
        Command::List(args) => list(args),
        Command::Lost(args) => lost(args),
        Command::Withdraw(args) => withdraw(args),
        Command::WipeState(args) => wipe_state(args),
        Command::Accept(args) => accept(args),
        Command::Revoke(args) => revoke(args),
    }
}

fn time(words: Words, ms: u64) -> String {
    times::minute(ms).unwrap_or_else(|| words.text("never").to_owned())
}

fn marks(words: Words, device: &Device) -> String {
    let lost = device.lost.map(|lost| match (lost.wiped_ms, lost.told_ms) {
        (0, 0) => words.text("device.lost").to_owned(),
        (0, told) => words.fill("device.told", &[("at", &time(words, told))]),
        (wiped, _) => words.fill("device.erased", &[("at", &time(words, wiped))]),
    });
    let revoked = if device.revoked { words.text("device.revoked") } else { "" };
    format!("{}{revoked}", lost.unwrap_or_default())
}

/// Lists phones, one a line.
pub fn list(args: &ListArgs) -> Outcome {
    let storage = open_storage(&args.data)?;
    let township = the_township(&*storage, args.township)?;
    let names: BTreeMap<UserId, String> = storage.users()?.into_iter().map(|u| (u.id, u.name)).collect();
    let (head, _) = storage.head(township)?;
    for device in storage.devices(township)? {
        let row = args.words.fill(
            "device.row",
            &[
                ("id", &device.id.to_string()),
                ("name", names.get(&device.user).map_or("?", String::as_str)),
                ("enrolled", &time(args.words, device.enrolled_ms)),
                ("synced", &time(args.words, device.last_sync_ms)),
                ("n", &head.seq.saturating_sub(device.feed_seq).to_string()),
            ],
        );
        say!("{row}{}", marks(args.words, &device));
    }
    Ok(ExitCode::SUCCESS)
}

const UNKNOWN: Fault = Fault("error.unknown_phone");

fn lost(args: &LostArgs) -> Outcome {
    let reported = open_service(&args.data)?.report_lost(Actor::CommandLine, args.device, &args.reason)?;
    let device = reported.ok_or(UNKNOWN)?;
    args.words.say("device.reported", &[("marks", &marks(args.words, &device))]);
    args.words.say("device.next", &[]);
    Ok(ExitCode::SUCCESS)
}

fn withdraw(args: &ReasonArgs) -> Outcome {
    let done = open_service(&args.data)?.withdraw_lost(Actor::CommandLine, args.device, &args.reason)?;
    let text = messages::error(done.code());
    say!("{}\n{}", text.zh, text.en);
    Ok(if done.is_done() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Shuts a phone out.
pub fn revoke(args: &RevokeArgs) -> Outcome {
    open_service(&args.data)?.revoke(Actor::CommandLine, args.device, &args.reason)?.ok_or(UNKNOWN)?;
    args.words.say("device.shut_out", &[]);
    Ok(ExitCode::SUCCESS)
}

/// How many of a lost phone's changes stand in quarantine, by what became of them.
pub fn handed_over(storage: &dyn Storage, device: &Device, decision: Decision) -> Result<usize, StorageError> {
    let filter = QuarantineFilter {
        decision: Some(decision),
        device: Some(device.id),
        reason: Some(LOST_DEVICE.to_owned()),
        before: None,
        limit: u32::MAX,
    };
    Ok(storage.quarantine_list(device.township, &filter)?.len())
}

fn wipe_state(args: &PhoneArgs) -> Outcome {
    let storage = open_storage(&args.data)?;
    let device = storage.device(args.device)?.ok_or(UNKNOWN)?;
    let Some(lost) = device.lost else {
        args.words.say("device.not_lost", &[]);
        return Ok(ExitCode::SUCCESS);
    };
    let at = |ms| time(args.words, ms);
    let (reported, told, wiped) = (at(lost.reported_ms), at(lost.told_ms), at(lost.wiped_ms));
    args.words.say("device.state", &[("reported", &reported), ("told", &told), ("wiped", &wiped)]);
    let count = |decision| handed_over(&*storage, &device, decision);
    let text = |decision| Ok::<_, StorageError>(count(decision)?.to_string());
    let (open, accepted, discarded) = (text(Decision::Open)?, text(Decision::Released)?, text(Decision::Discarded)?);
    args.words.say("device.handed_over", &[("open", &open), ("accepted", &accepted), ("discarded", &discarded)]);
    Ok(ExitCode::SUCCESS)
}

fn accept(args: &ReasonArgs) -> Outcome {
    let service = open_service(&args.data)?;
    let released = service.accept_unsent(Actor::CommandLine, args.device, &args.reason)?.ok_or(UNKNOWN)?;
    let outcome = print_released(&released, args.words)?;
    let device = service.storage.device(args.device)?.ok_or(UNKNOWN)?;
    let waiting = handed_over(&*service.storage, &device, Decision::Open)?;
    if waiting > 0 {
        args.words.say("device.more", &[("n", &waiting.to_string()), ("id", &device.id.to_string())]);
    }
    Ok(outcome)
}
