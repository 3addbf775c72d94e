//! Acts with their entries of the audit log.

use deadpool_postgres::GenericClient;
use doorstep_core::fault;

use super::super::acts::{ActStorage, NotTaken, Write};
use super::super::{AuditEntry, Result};
use super::{PostgresStorage, Tenant, audit, away, devices, forms, lists, people, planned, register, rights, settings};

impl ActStorage for PostgresStorage {
    fn act(&self, writes: &[Write], entries: &[AuditEntry]) -> Result<bool> {
        NotTaken::taken(self.write(async |tx, t| apply(tx, t, writes, entries).await))
    }
}

/// Writes an act in the transaction of something larger. The log's end is locked last.
pub(super) async fn apply(
    c: &impl GenericClient,
    tenant: &Tenant,
    writes: &[Write],
    entries: &[AuditEntry],
) -> Result<()> {
    for write in writes {
        one(c, tenant, write).await?;
    }
    fault::point("storage.act.entries");
    if !entries.is_empty() {
        audit::append(c, tenant, entries).await?;
    }
    Ok(())
}

async fn one(c: &impl GenericClient, tenant: &Tenant, write: &Write) -> Result<()> {
    let id = tenant.id.as_slice();
    match write {
        Write::Areas(township, areas) => people::put_areas(c, id, *township, areas).await.map(drop),
        Write::ChangeArea(township, change) => rights::change_area(c, tenant, *township, change).await.map(drop),
        Write::Users(users) => people::put_users(c, id, users).await,
        Write::Units(units) => rights::put_units(c, tenant, units).await,
        Write::Grants(user, entries) => people::append_grants(c, tenant, *user, entries).await.map(drop),
        Write::Setting(name, value) => settings::set_setting(c, id, name, value).await,
        Write::Invitation { secret_hash, user, township, until_ms } => {
            people::put_invitation(c, id, *secret_hash, *user, *township, *until_ms).await
        }
        Write::Device(device) => people::put_device(c, id, device).await,
        Write::Revoke(device) => NotTaken::unless(people::revoke_device(c, id, *device).await?),
        Write::Lost(device, now_ms) => NotTaken::unless(devices::report_lost(c, id, *device, *now_ms).await?),
        Write::Withdrawn(device, now_ms) => NotTaken::unless(devices::withdraw_lost(c, id, *device, *now_ms).await?),
        Write::Wipe(device, step, now_ms) => {
            NotTaken::unless(devices::note_wipe(c, id, *device, *step, *now_ms).await?)
        }
        Write::Decided(township, nos, decision, now_ms) => {
            devices::decide(c, id, *township, nos, *decision, *now_ms).await
        }
        Write::Form(on, change) => NotTaken::unless(forms::append(c, tenant, *on, change).await?.is_some()),
        Write::Import(township, no, state, now_ms, summary) => {
            register::set_state(c, id, *township, *no, *state, *now_ms, summary.as_deref()).await
        }
        Write::ImportItem(township, no, row, item) => lists::put_item(c, id, *township, (*no, *row), item).await,
        Write::ItemUndone(township, no, row) => lists::drop_item(c, id, *township, (*no, *row)).await,
        Write::RemoveArea(township, area) => lists::remove_area(c, id, *township, *area).await,
        Write::RestoreArea(township, entry, past) => {
            lists::restore_area(c, id, *township, entry, past.as_deref()).await
        }
        Write::RemovePerson(user) => NotTaken::unless(lists::remove_person(c, id, *user).await?),
        Write::RemoveUnit(unit) => lists::remove_unit(c, id, *unit).await,
        Write::Plan(grant) => planned::put(c, id, grant).await,
        Write::Unplan(no) => NotTaken::unless(planned::end(c, id, *no).await?),
        Write::Leave(township, gone) => NotTaken::unless(away::leave(c, id, *township, gone).await?),
        Write::Away(township, gone) => away::put(c, id, *township, gone).await,
        Write::Home(township, household) => away::end(c, id, *township, *household).await,
    }
}
