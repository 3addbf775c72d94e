//! The order to a lost phone to erase itself: signed by the server's long-lived identity, and good for one request only.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::id::{DeviceId, TenantId};

/// Why changes of a lost phone stand in quarantine.
pub const LOST_DEVICE: &str = "lost_device";

const PURPOSE: &[u8] = b"doorstep/wipe/1";

/// Ed25519 by the server's identity over `"doorstep/wipe/1"`, tenant, device and the counter of the hello that it answers:
/// nobody else can make a phone erase itself, and an order that was overheard is worth nothing for another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WipeOrder(pub [u8; 64]);

fn message(tenant: TenantId, device: DeviceId, counter: u64) -> Vec<u8> {
    [PURPOSE, &tenant.0, &device.0, &counter.to_be_bytes()].concat()
}

impl WipeOrder {
    /// The order in the answer to the device's request with this counter.
    pub fn sign(identity: &SigningKey, tenant: TenantId, device: DeviceId, counter: u64) -> Self {
        Self(identity.sign(&message(tenant, device, counter)).to_bytes())
    }

    /// True when the server whose identity the phone pinned gave it for this request.
    pub fn is_genuine(&self, identity: &[u8; 32], tenant: TenantId, device: DeviceId, counter: u64) -> bool {
        let Ok(identity) = VerifyingKey::from_bytes(identity) else { return false };
        identity.verify_strict(&message(tenant, device, counter), &Signature::from_bytes(&self.0)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_for_one_phone_and_one_request_of_one_server() {
        let identity = SigningKey::from_bytes(&[1; 32]);
        let pinned = identity.verifying_key().to_bytes();
        let other = SigningKey::from_bytes(&[2; 32]).verifying_key().to_bytes();
        let (tenant, device) = (TenantId([3; 16]), DeviceId([4; 16]));
        let order = WipeOrder::sign(&identity, tenant, device, 7);
        assert!(order.is_genuine(&pinned, tenant, device, 7));
        assert!(!order.is_genuine(&pinned, tenant, device, 8), "a replay");
        assert!(!order.is_genuine(&pinned, tenant, DeviceId([5; 16]), 7), "another phone");
        assert!(!order.is_genuine(&pinned, TenantId([5; 16]), device, 7), "another tenant");
        assert!(!order.is_genuine(&other, tenant, device, 7), "another server");
    }
}
