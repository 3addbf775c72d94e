//! The secrets of a tenant.

use doorstep_core::id::TenantId;

/// The secrets of a tenant's server; made once, kept in the database, part of every backup.
#[derive(Clone)]
pub struct Secrets {
    /// Whose data.
    pub tenant: TenantId,
    /// From which natural record ids follow; phones get it when enrolled.
    pub tenant_key: [u8; 32],
    /// Key of the feeds' chains.
    pub chain_key: [u8; 32],
    /// Key of receipts.
    pub receipt_key: [u8; 32],
    /// Key of tokens and browser sessions.
    pub session_key: [u8; 32],
    /// Seed of the server's long-lived Ed25519 identity.
    pub identity_seed: [u8; 32],
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets {{ tenant: {}, .. }}", self.tenant)
    }
}
