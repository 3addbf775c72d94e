//! Secrets and settings.

use rusqlite::{Connection, OptionalExtension, params};

use doorstep_core::id::TenantId;

use super::super::columns::BadColumn;
use super::super::{Result, Secrets};

/// The secrets, if they were made.
pub(super) fn secrets(c: &Connection) -> Result<Option<Secrets>> {
    let tenant: Option<[u8; 16]> =
        c.query_row("SELECT value FROM secret WHERE name = 'tenant'", [], |r| r.get(0)).optional()?;
    let Some(tenant) = tenant else { return Ok(None) };
    let key = |name: &'static str| -> Result<[u8; 32]> {
        let value: Option<Vec<u8>> =
            c.query_row("SELECT value FROM secret WHERE name = ?", [name], |r| r.get(0)).optional()?;
        Ok(value.and_then(|v| v.try_into().ok()).ok_or(BadColumn("secret"))?)
    };
    Ok(Some(Secrets {
        tenant: TenantId(tenant),
        tenant_key: key("tenant_key")?,
        chain_key: key("chain_key")?,
        receipt_key: key("receipt_key")?,
        session_key: key("session_key")?,
        identity_seed: key("identity_seed")?,
    }))
}

/// The secrets; `fresh` becomes them on first use.
pub(super) fn secrets_or(c: &Connection, fresh: &Secrets) -> Result<Secrets> {
    if let Some(known) = secrets(c)? {
        return Ok(known);
    }
    let rows: [(&str, &[u8]); 6] = [
        ("tenant", &fresh.tenant.0),
        ("tenant_key", &fresh.tenant_key),
        ("chain_key", &fresh.chain_key),
        ("receipt_key", &fresh.receipt_key),
        ("session_key", &fresh.session_key),
        ("identity_seed", &fresh.identity_seed),
    ];
    for (name, value) in rows {
        c.execute("INSERT INTO secret (name, value) VALUES (?, ?)", params![name, value])?;
    }
    Ok(fresh.clone())
}

pub(super) fn setting(c: &Connection, name: &str) -> Result<Option<String>> {
    let mut statement = c.prepare_cached("SELECT value FROM setting WHERE name = ?")?;
    Ok(statement.query_row([name], |r| r.get(0)).optional()?)
}

pub(super) fn set_setting(c: &Connection, name: &str, value: &str) -> Result<()> {
    c.prepare_cached(
        "INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )?
    .execute([name, value])?;
    Ok(())
}
