//! Acts with their entries of the audit log.

use doorstep_core::fault;
use rusqlite::Transaction;

use super::super::acts::{ActStorage, NotTaken, Write};
use super::super::chain::Links;
use super::super::{AuditEntry, Result};
use super::{SqliteStorage, audit, away, devices, forms, lists, people, planned, register, rights, settings};

impl ActStorage for SqliteStorage {
    fn act(&self, writes: &[Write], entries: &[AuditEntry]) -> Result<bool> {
        let links = self.links()?;
        NotTaken::taken(self.write(|tx| apply(tx, links, writes, entries)))
    }
}

/// Writes an act in the transaction of something larger.
pub(super) fn apply(tx: &Transaction<'_>, links: &Links, writes: &[Write], entries: &[AuditEntry]) -> Result<()> {
    for write in writes {
        one(tx, links, write)?;
    }
    fault::point("storage.act.entries");
    if !entries.is_empty() {
        audit::append(tx, links, entries)?;
    }
    Ok(())
}

fn one(tx: &Transaction<'_>, links: &Links, write: &Write) -> Result<()> {
    match write {
        Write::Areas(township, areas) => people::put_areas(tx, *township, areas).map(drop),
        Write::ChangeArea(township, change) => rights::change_area(tx, *township, change).map(drop),
        Write::Users(users) => people::put_users(tx, users),
        Write::Units(units) => rights::put_units(tx, units),
        Write::Grants(user, entries) => people::append_grants(tx, links, *user, entries).map(drop),
        Write::Setting(name, value) => settings::set_setting(tx, name, value),
        Write::Invitation { secret_hash, user, township, until_ms } => {
            people::put_invitation(tx, *secret_hash, *user, *township, *until_ms)
        }
        Write::Device(device) => people::put_device(tx, device),
        Write::Revoke(device) => NotTaken::unless(people::revoke_device(tx, *device)?),
        Write::Lost(device, now_ms) => NotTaken::unless(devices::report_lost(tx, *device, *now_ms)?),
        Write::Withdrawn(device, now_ms) => NotTaken::unless(devices::withdraw_lost(tx, *device, *now_ms)?),
        Write::Wipe(device, step, now_ms) => NotTaken::unless(devices::note_wipe(tx, *device, *step, *now_ms)?),
        Write::Decided(township, nos, decision, now_ms) => devices::decide(tx, *township, nos, *decision, *now_ms),
        Write::Form(on, change) => NotTaken::unless(forms::append(tx, links, *on, change)?.is_some()),
        Write::Import(township, no, state, now_ms, summary) => {
            register::set_state(tx, *township, *no, *state, *now_ms, summary.as_deref())
        }
        Write::ImportItem(township, no, row, item) => lists::put_item(tx, *township, *no, *row, item),
        Write::ItemUndone(township, no, row) => lists::drop_item(tx, *township, *no, *row),
        Write::RemoveArea(township, area) => lists::remove_area(tx, *township, *area),
        Write::RestoreArea(township, entry, past) => lists::restore_area(tx, *township, entry, past.as_deref()),
        Write::RemovePerson(user) => NotTaken::unless(lists::remove_person(tx, *user)?),
        Write::RemoveUnit(unit) => lists::remove_unit(tx, *unit),
        Write::Plan(grant) => planned::put(tx, grant),
        Write::Unplan(no) => NotTaken::unless(planned::end(tx, *no)?),
        Write::Leave(township, gone) => NotTaken::unless(away::leave(tx, *township, gone)?),
        Write::Away(township, gone) => away::put(tx, *township, gone),
        Write::Home(township, household) => away::end(tx, *township, *household),
    }
}
