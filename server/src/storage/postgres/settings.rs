//! Secrets and settings.

use deadpool_postgres::{Client, GenericClient};
use doorstep_core::id::TenantId;

use super::super::columns::BadColumn;
use super::super::{Result, Secrets};
use super::{array, get, row, rows, run};

/// The secrets of the database's tenant, if they were made.
pub(super) async fn secrets(c: &impl GenericClient) -> Result<Option<Secrets>> {
    let found = rows(c, "SELECT name, value, tenant FROM secret", &[]).await?;
    let Some(first) = found.first() else { return Ok(None) };
    let mut secrets = Secrets {
        tenant: TenantId(array(first, 2)?),
        tenant_key: [0; 32],
        chain_key: [0; 32],
        receipt_key: [0; 32],
        session_key: [0; 32],
        identity_seed: [0; 32],
    };
    let mut missing = 5;
    for row in &found {
        let place = match get::<&str>(row, 0)? {
            "tenant_key" => &mut secrets.tenant_key,
            "chain_key" => &mut secrets.chain_key,
            "receipt_key" => &mut secrets.receipt_key,
            "session_key" => &mut secrets.session_key,
            "identity_seed" => &mut secrets.identity_seed,
            _ => continue,
        };
        *place = array(row, 1)?;
        missing -= 1;
    }
    if missing == 0 { Ok(Some(secrets)) } else { Err(BadColumn("secret").into()) }
}

/// The secrets; `fresh` becomes them on first use, also when several servers start at once.
pub(super) async fn secrets_or(client: &mut Client, fresh: &Secrets) -> Result<Secrets> {
    let tx = client.transaction().await?;
    tx.batch_execute("LOCK TABLE secret IN EXCLUSIVE MODE").await?;
    if let Some(known) = secrets(&tx).await? {
        return Ok(known);
    }
    let keys: [(&str, &[u8; 32]); 5] = [
        ("tenant_key", &fresh.tenant_key),
        ("chain_key", &fresh.chain_key),
        ("receipt_key", &fresh.receipt_key),
        ("session_key", &fresh.session_key),
        ("identity_seed", &fresh.identity_seed),
    ];
    for (name, key) in keys {
        let sql = "INSERT INTO secret (tenant, name, value) VALUES ($1, $2, $3)";
        run(&tx, sql, &[&fresh.tenant.0.as_slice(), &name, &key.as_slice()]).await?;
    }
    tx.commit().await?;
    Ok(fresh.clone())
}

pub(super) async fn setting(c: &impl GenericClient, tenant: &[u8], name: &str) -> Result<Option<String>> {
    let found = row(c, "SELECT value FROM setting WHERE tenant = $1 AND name = $2", &[&tenant, &name]).await?;
    found.map(|r| get(&r, 0)).transpose()
}

pub(super) async fn set_setting(c: &impl GenericClient, tenant: &[u8], name: &str, value: &str) -> Result<()> {
    let sql = "INSERT INTO setting (tenant, name, value) VALUES ($1, $2, $3)
        ON CONFLICT (tenant, name) DO UPDATE SET value = excluded.value";
    run(c, sql, &[&tenant, &name, &value]).await?;
    Ok(())
}
