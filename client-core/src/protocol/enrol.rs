//! Enrolment: a phone registers its key with a one-time code. JSON over `POST /enrol`.

use serde::{Deserialize, Serialize};

use crate::id::{AreaId, DeviceId, TenantId, UserId};

/// The path.
pub const ENROL_PATH: &str = "/enrol";

/// What the phone sends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnrolBody {
    /// The code as typed or scanned.
    pub code: String,
    /// The phone's Ed25519 public key, 64 hexadecimal digits.
    pub public_key: String,
    /// The key's signature over [`proof_message`], 128 hexadecimal digits.
    pub proof: String,
}

/// What the server answers.
#[derive(Clone, Serialize, Deserialize)]
pub struct EnrolAnswer {
    /// Whose data.
    pub tenant: TenantId,
    /// Key of natural record ids, hexadecimal.
    pub tenant_key: String,
    /// Which township's feed the phone reads.
    pub township: AreaId,
    /// The phone's id.
    pub device: DeviceId,
    /// The person.
    pub user: UserId,
    /// Their name.
    pub user_name: String,
    /// The server's long-lived Ed25519 identity, hexadecimal.
    pub server_identity: String,
}

impl std::fmt::Debug for EnrolAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EnrolAnswer {{ device: {}, .. }}", self.device)
    }
}

/// A code without what people put between its letters.
pub fn normal_code(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

/// What the phone signs to show that it holds the key.
pub fn proof_message(code: &str, public_key: &[u8; 32]) -> Vec<u8> {
    [b"doorstep/enrol/1".as_slice(), normal_code(code).as_bytes(), public_key].concat()
}
