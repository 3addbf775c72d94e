//! Enrolment: a phone registers its key with a one-time code. JSON over `POST /enrol`.

use data_encoding::HEXLOWER;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::grants::GrantLogText;
use crate::clock::Millis;
use crate::id::{AreaId, DeviceId, TenantId, UserId};

/// The path.
pub const ENROL_PATH: &str = "/enrol";

/// Where a phone shows its certificate to a server that has forgotten it.
pub const ENROL_AGAIN_PATH: &str = "/enrol/again";

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
    /// The server's word for all this, to be shown if a restored server has forgotten the phone.
    pub certificate: SignedCertificate,
}

/// What a server signs when it enrols a phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Whose data.
    pub tenant: TenantId,
    /// The phone.
    pub device: DeviceId,
    /// The person.
    pub user: UserId,
    /// Their name.
    pub user_name: String,
    /// Which township's feed the phone reads.
    pub township: AreaId,
    /// The phone's Ed25519 public key, hexadecimal.
    pub public_key: String,
    /// When it was enrolled, by the server's clock.
    pub enrolled_ms: Millis,
}

/// A certificate with the server's signature over its JSON.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedCertificate {
    /// The certificate's JSON, as signed.
    pub content: String,
    /// Ed25519 by the server's identity over `"doorstep/certificate/1"` and the content, hexadecimal.
    pub signature: String,
}

/// What a phone shows to a server that has forgotten it, or grants of its user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnrolAgainBody {
    /// The server's word for the enrolment.
    #[serde(flatten)]
    pub certificate: SignedCertificate,
    /// The user's grants as the phone was told them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<GrantLogText>,
}

impl std::fmt::Debug for SignedCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignedCertificate(..)")
    }
}

const CERTIFICATE: &[u8] = b"doorstep/certificate/1";

impl Certificate {
    /// Signs it with the server's identity; `None` if it can't be written as JSON, which no certificate can't.
    pub fn sign(&self, identity: &SigningKey) -> Option<SignedCertificate> {
        let content = serde_json::to_string(self).ok()?;
        let signature = identity.sign(&[CERTIFICATE, content.as_bytes()].concat()).to_bytes();
        Some(SignedCertificate { content, signature: HEXLOWER.encode(&signature) })
    }
}

impl SignedCertificate {
    /// The certificate, if this server identity signed it.
    pub fn verified(&self, identity: &VerifyingKey) -> Option<Certificate> {
        let signature: [u8; 64] = HEXLOWER.decode(self.signature.as_bytes()).ok()?.try_into().ok()?;
        let message = [CERTIFICATE, self.content.as_bytes()].concat();
        identity.verify_strict(&message, &Signature::from_bytes(&signature)).ok()?;
        serde_json::from_str(&self.content).ok()
    }
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
