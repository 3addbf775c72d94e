//! An administrator's commands about grants.

use std::process::ExitCode;

use clap::Args;
use doorstep_core::id::{AreaId, UserId};
use doorstep_core::protocol::GrantEntry;

use super::admin::the_township;
use super::serve::{open_service, open_storage};
use super::{DataOptions, Outcome};
use crate::say;
use crate::service::audit::{Act, Action, Actor};
use crate::service::rights::current;
use crate::storage::{Storage, StorageError};

/// Options of `grants`.
#[derive(Args)]
pub struct ListArgs {
    #[command(flatten)]
    data: DataOptions,
    /// The township's id, where there are several.
    #[arg(long)]
    township: Option<AreaId>,
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
