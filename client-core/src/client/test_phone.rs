//! A phone for tests: enrolled, on a database in a scratch folder.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::Phone;
use crate::clock::{ManualClock, SeededEntropy};
use crate::form::FormDef;
use crate::form::version::DefinitionBytes;
use crate::id::{AreaId, Chain, DeviceId, TenantId, UserId};
use crate::protocol::{FormBytes, FormEntry, FormsNews, Position};
use crate::store::Enrolment;

pub(super) fn open(dir: &Path, seed: u64) -> Phone {
    let clock = Arc::new(ManualClock::at(1_790_000_000_000));
    Phone::open(dir, clock, Arc::new(SeededEntropy::new(seed))).unwrap().0
}

pub(super) fn phone() -> (TempDir, Phone) {
    let dir = tempfile::tempdir().unwrap();
    let phone = open(dir.path(), 1);
    phone.store().enrol(&enrolment()).unwrap();
    (dir, phone)
}

pub(super) fn enrolment() -> Enrolment {
    Enrolment {
        tenant: TenantId([1; 16]),
        tenant_key: [2; 32],
        township: AreaId([3; 16]),
        device: DeviceId([4; 16]),
        user: UserId([5; 16]),
        user_name: "测试".into(),
        signing_seed: [6; 32],
        server_url: "http://localhost".into(),
        server_identity: [7; 32],
        certificate: None,
    }
}

/// Gives a phone forms as a sync would.
pub(super) fn receive(phone: &Phone, forms: &[FormDef]) {
    let entry = |def: &FormDef| {
        let bytes = DefinitionBytes::of(def).unwrap();
        FormEntry {
            name: def.name.clone(),
            version: def.version,
            hash: bytes.hash(),
            retired: false,
            at_ms: 1,
            definition: Some(FormBytes { base: None, packed: bytes.pack(None).unwrap() }),
        }
    };
    let position = Position { seq: 1, chain: Chain([1; 16]) };
    let news = FormsNews { position, entries: forms.iter().map(entry).collect() };
    assert_eq!(phone.store().apply_forms(&news).unwrap().unreadable, 0);
}
