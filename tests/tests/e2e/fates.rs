//! What became of changes that waited on the server, told to the phone that asks.

use doorstep_core::id::{ChangeHash, Identity, RecordId, TenantKey, branch_actor};
use doorstep_core::protocol::forms::FormsKnown;
use doorstep_core::protocol::{
    Batch, BatchHeader, Hello, ManifestEntry, Outcome, ReplyDecoder, ReplyFrame, State, Upload, UploadKind, stream,
};
use doorstep_core::record::{Author, ChangeNote, Edit, Record};
use doorstep_core::store::Enrolment;
use doorstep_server::storage::Grant;
use doorstep_tests::harness::{TestServer, open_phone};
use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::hostile::frame;

/// An enrolled device that sends what it is told to.
struct Device<'a> {
    server: &'a TestServer,
    enrolment: Enrolment,
    sent: u64,
    last: [u8; 32],
}

impl Device<'_> {
    fn key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.enrolment.signing_seed)
    }

    /// Sends a change of a record, and asks about another.
    fn send(&mut self, record: RecordId, change: Vec<u8>, waiting: Vec<ManifestEntry>) -> Vec<ReplyFrame> {
        self.sent += 1;
        let Enrolment { tenant, device, .. } = self.enrolment;
        let header = BatchHeader { tenant, device, branch: 0, number: self.sent, previous: self.last };
        let batch = Batch::sign(header, vec![frame(record, self.server.villages[0], vec![change])], &self.key());
        self.last = batch.hash();
        let upload = stream::compress(&batch.encode().unwrap()).unwrap();
        let named = Upload {
            kind: UploadKind::Batch,
            number: self.sent,
            digest: Sha256::digest(&upload).into(),
            total: upload.len() as u32,
            offset: 0,
        };
        let forms = Some(FormsKnown::default());
        let hello = Hello { upload: Some(named), waiting, forms, ..Hello::first(tenant, device, 1_000 + self.sent) };
        let body = [hello.encode_signed(&self.key()), upload].concat();
        let reply = crate::client().post(format!("{}/sync", self.server.url())).body(body).send().unwrap();
        let mut decoder = ReplyDecoder::new(TenantKey(self.enrolment.tenant_key)).unwrap();
        decoder.push(&reply.bytes().unwrap()).unwrap()
    }
}

fn outcomes(frames: &[ReplyFrame]) -> [Option<Vec<Outcome>>; 2] {
    let statuses = frames.iter().find_map(|f| match f {
        ReplyFrame::Statuses { outcomes, .. } => Some(outcomes.clone()),
        _ => None,
    });
    let fates = frames.iter().find_map(|f| match f {
        ReplyFrame::Fates { outcomes, .. } => Some(outcomes.clone()),
        _ => None,
    });
    [statuses, fates]
}

#[test]
fn a_change_that_waited_for_one_that_is_refused_is_refused_with_it_and_its_phone_is_told_when_it_asks() {
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let server = TestServer::start(dirs[0].path());
    let phone = open_phone(dirs[1].path());
    let enrolment = phone.enrol(&server.url(), &server.code("甲")).unwrap();
    let user = enrolment.user;
    let mut device = Device { server: &server, enrolment, sent: 0, last: [0; 32] };

    let id = RecordId([1; 16]);
    let mut record = Record::new(Identity::of_type("visit"));
    let actor = branch_actor(&device.key().verifying_key().to_bytes(), 0);
    let author = Author { actor, note: ChangeNote::by(user), claimed_s: 1_790_000_000 };
    let [first, second, third] = ["one", "two", "three"].map(|text| {
        let heads = record.heads();
        record.edit(&heads, &author, &[Edit::answer("remark", text)]).unwrap().unwrap()
    });
    let entry = |change: ChangeHash| ManifestEntry { record: id, incarnation: 0, change };
    let (asked, other) = (entry(third.hash), entry(ChangeHash([9; 32])));
    device.send(id, first.bytes, Vec::new());
    let [statuses, fates] = outcomes(&device.send(id, third.bytes, Vec::new()));
    assert_eq!(statuses, Some(vec![Outcome::of(State::Waiting)]));
    assert_eq!(fates, None, "nothing was asked");

    let (_, log) = server.service.storage.grants(user, 0).unwrap();
    let long_ago = server.service.clock.now_ms() - 31 * 24 * 3600 * 1000;
    let ended: Vec<Grant> = log.iter().map(|(_, grant)| grant.ended(long_ago)).collect();
    server.service.storage.append_grants(user, &ended).unwrap();
    let [statuses, fates] = outcomes(&device.send(id, second.bytes, vec![asked, other]));
    assert_eq!(statuses, Some(vec![Outcome::quarantined("out_of_scope")]));
    let fates = fates.unwrap();
    assert_eq!(fates[0], Outcome::quarantined("depends_on_refused"));
    assert_eq!((fates[1].state, fates[1].reason.as_str()), (State::Denied, "not_kept"));
}
