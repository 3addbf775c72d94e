//! An administrator's commands about phones and grants.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use doorstep_core::id::{AreaId, DeviceId, UserId};
use doorstep_core::protocol::GrantEntry;

use super::admin::the_township;
use super::serve::{open_service, open_storage};
use super::{DataOptions, Outcome};
use crate::say;
use crate::service::audit::{Act, Action, Actor};
use crate::service::rights::current;
use crate::storage::{Storage, StorageError};
use crate::web::times;

/// Options of `phones` and `grants`.
#[derive(Args)]
pub struct ListArgs {
    #[command(flatten)]
    data: DataOptions,
    /// The township's id, where there are several.
    #[arg(long)]
    township: Option<AreaId>,
}

/// Options of `revoke`.
#[derive(Args)]
pub struct RevokeArgs {
    #[command(flatten)]
    data: DataOptions,
    /// The phone's id, from `doorstep phones`.
    device: DeviceId,
}

/// Options of `end-grant`.
#[derive(Args)]
pub struct EndGrantArgs {
    #[command(flatten)]
    data: DataOptions,
    /// The person's id, from `doorstep grants`.
    user: UserId,
    /// The grant's number.
    grant: u64,
}

/// Lists phones, one a line.
pub fn phones(args: &ListArgs) -> Outcome {
    let storage = open_storage(&args.data)?;
    let township = the_township(&*storage, args.township)?;
    let names: BTreeMap<UserId, String> = storage.users()?.into_iter().map(|u| (u.id, u.name)).collect();
    let (head, _) = storage.head(township)?;
    let time = |ms| times::minute(ms).unwrap_or_else(|| "never".to_owned());
    for device in storage.devices(township)? {
        say!(
            "{}  {}  enrolled {}  last sync {}  {} behind{}",
            device.id,
            names.get(&device.user).map_or("?", String::as_str),
            time(device.enrolled_ms),
            time(device.last_sync_ms),
            head.seq.saturating_sub(device.feed_seq),
            if device.revoked { "  revoked" } else { "" },
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Shuts a phone out.
pub fn revoke(args: &RevokeArgs) -> Outcome {
    let service = open_service(&args.data)?;
    let Some(device) = service.storage.device(args.device)? else {
        return Err("no phone has this id; `doorstep phones` lists them".into());
    };
    let act = Act::new(Action::DeviceRevoked).in_township(device.township).device(device.id).user(device.user);
    service.audit(Actor::CommandLine, act)?;
    service.storage.revoke_device(device.id)?;
    say!("revoked: this phone neither reads nor sends any more");
    Ok(ExitCode::SUCCESS)
}

/// A user's grants that haven't ended.
fn active(storage: &dyn Storage, user: UserId) -> Result<Vec<GrantEntry>, StorageError> {
    let (_, log) = storage.grants(user, 0)?;
    let entries = current(&log).into_iter().map(|(_, grant)| grant.entry.clone());
    Ok(entries.filter(|entry| entry.active).collect())
}

/// Lists grants in a township that haven't ended, one a line.
pub fn grants(args: &ListArgs) -> Outcome {
    let storage = open_storage(&args.data)?;
    let (_, areas) = storage.areas(the_township(&*storage, args.township)?)?;
    for user in storage.users()? {
        for entry in active(&*storage, user.id)? {
            let Some(area) = areas.iter().find(|a| a.area == entry.area) else { continue };
            let subject = entry.subject.map(|s| format!("  only about {s}")).unwrap_or_default();
            say!("{}  {}  grant {}  {}  {}{subject}", user.id, user.name, entry.grant, entry.role, area.name_zh);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends a grant.
pub fn end_grant(args: &EndGrantArgs) -> Outcome {
    let service = open_service(&args.data)?;
    let storage = &service.storage;
    let entry = active(&**storage, args.user)?.into_iter().find(|entry| entry.grant == args.grant);
    let Some(entry) = entry else {
        return Err("this person has no such grant (any more); `doorstep grants` lists them".into());
    };
    let act = Act::new(Action::GrantEnded).user(args.user).area(entry.area);
    service.audit(Actor::CommandLine, act.with("grant", entry.grant).with("role", entry.role.as_str()))?;
    storage.append_grants(args.user, &[GrantEntry { active: false, ..entry }.into()])?;
    say!("ended: the person's phones drop what no other grant covers when they sync next");
    Ok(ExitCode::SUCCESS)
}
