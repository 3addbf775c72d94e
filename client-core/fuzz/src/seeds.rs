//! Writes the seed corpora: `cargo run --bin seeds` in `client-core/fuzz`.

use std::fs;
use std::path::Path;

use doorstep_core::id::{AreaId, Chain, ChangeHash, DeviceId, MacTag, RecordId, TenantId};
use doorstep_core::protocol::{
    Batch, BatchHeader, FillPosition, Hello, ManifestEntry, Outcome, Position, Receipt, RecordBody, RecordFrame,
    Refill, ReplyEncoder, ReplyFrame, State, Upload, UploadKind, Weight, WireChange,
};
use doorstep_fuzz::{body, branched, identity};

fn main() -> std::io::Result<()> {
    let (mut record, changes) = branched();
    for (i, change) in changes.iter().enumerate() {
        seed("guard", i, body(&change.bytes))?;
    }
    let mut snapshots = vec![snapshot(&record)];
    for change in &changes {
        record.accept(&change.bytes).ok();
        snapshots.push(snapshot(&record));
    }
    for (i, bytes) in snapshots.iter().enumerate() {
        seed("snapshot", i, bytes)?;
    }
    let changes = changes.into_iter().map(|c| WireChange::new(c.hash, c.bytes)).collect();
    for (i, (choice, bytes)) in protocol(changes).into_iter().enumerate() {
        seed("protocol", i, &[&[choice], bytes.as_slice()].concat())?;
    }
    let table = fs::read_to_string("../../tests/conformance/expressions.jsonl")?;
    for (i, line) in table.lines().enumerate() {
        let case: serde_json::Value = serde_json::from_str(line)?;
        seed("expression", i, case["expression"].as_str().unwrap_or_default().as_bytes())?;
    }
    for (i, path) in fs::read_dir("../forms/pack")?.enumerate() {
        let path = path?.path();
        if path.extension().is_some_and(|e| e == "xlsx") {
            let workbook = fs::read(path)?;
            seed("grid", i, &workbook)?;
            seed("workbook", i, &[b"\x01", workbook.as_slice()].concat())?;
        }
    }
    for (i, rows) in WORKBOOKS.iter().enumerate() {
        seed("workbook", 100 + i, &[b"\x00", rows.as_bytes()].concat())?;
    }
    for (i, (choice, text)) in LISTS.iter().enumerate() {
        seed("list", i, &[&[*choice], text.as_bytes()].concat())?;
    }
    Ok(())
}

/// Rows of a survey in the text layout.
const WORKBOOKS: [&str; 2] = [
    ",integer,age,Age,${sex} = 'f',,,,\n,select_one s,sex,Sex,,,,,\nchoices\n,list_name,name,label\n,s,f,F\n,s,m,M\n",
    ",begin repeat,r,R,,,,,\n,text,a,A,,,'x',rows=3,\n,end repeat,,,,,,,\n,calculate,c,,,count(${r}),,,${a}\n",
];

/// Lists: CSV, XML, GeoJSON.
const LISTS: [(u8, &str); 4] = [
    (0, "name,label,\"x, y\"\na,\"b \"\"c\"\"\",1\n"),
    (0, "name;label\r\na;b,c\r\n"),
    (1, "<?xml version='1.0'?><root><item><name>a</name><label>A &amp; &#66;<![CDATA[<]]></label></item></root>"),
    (2, r#"{"type":"FeatureCollection","features":[{"type":"Feature","id":1,"properties":{"title":"t"},
        "geometry":{"type":"Polygon","coordinates":[[[1,2],[3,4.5,6],[1,2]]]}}]}"#),
];

fn seed(target: &str, n: usize, bytes: &[u8]) -> std::io::Result<()> {
    let folder = Path::new("corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("seed-{n}")), bytes)
}

/// The number of heads, the heads, the document without its frame.
fn snapshot(record: &doorstep_core::record::Record) -> Vec<u8> {
    let heads = record.heads();
    let mut bytes = vec![heads.len() as u8];
    heads.iter().for_each(|h| bytes.extend(h.0));
    bytes.extend(body(&record.snapshot().expect("what was taken stands in automerge")));
    bytes
}

fn protocol(changes: Vec<WireChange>) -> Vec<(u8, Vec<u8>)> {
    let frame = RecordFrame {
        id: RecordId([1; 16]),
        identity: identity(),
        incarnation: 1,
        area: AreaId([2; 16]),
        subject: Some(RecordId([3; 16])),
        body: RecordBody::Changes(changes),
    };
    let hello = Hello {
        tenant: TenantId([1; 16]),
        device: DeviceId([2; 16]),
        counter: 77,
        branch: 3,
        grants: Position { seq: 4, chain: Chain([5; 16]) },
        feed: Some(Position { seq: 300, chain: Chain([6; 16]) }),
        fills: vec![FillPosition { grant: 1, after: 200 }],
        areas: 2,
        older: vec![Position { seq: 100, chain: Chain([7; 16]) }],
        told: Some(Position { seq: 301, chain: Chain([8; 16]) }),
        forms: None,
        waiting: Vec::new(),
        cost_only: false,
        diverged: true,
        wiping: false,
        upload: Some(Upload { kind: UploadKind::Batch, number: 5, digest: [8; 32], total: 1000, offset: 10 }),
    };
    let key = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    let header = BatchHeader { tenant: hello.tenant, device: hello.device, branch: 0, number: 5, previous: [4; 32] };
    let batch = Batch::sign(header, vec![frame.clone()], &key);
    let entry = ManifestEntry { record: frame.id, incarnation: 1, change: ChangeHash([4; 32]) };
    let receipt = Receipt { as_of: 9, tag: MacTag([5; 16]), entries: vec![entry] };
    let refill = Refill { receipts: vec![receipt], records: vec![frame], sealed: vec![vec![7; 60]] };
    let statuses = ReplyFrame::Statuses {
        branch: 1,
        number: 2,
        outcomes: vec![Outcome::of(State::Stored), Outcome::quarantined("start_op")],
        as_of: 3,
        receipt: MacTag([6; 16]),
        chain: Chain([7; 16]),
    };
    let mut inputs = vec![(0, hello.encode_signed(&key))];
    inputs.extend(batch.encode().ok().map(|bytes| (1, bytes)));
    inputs.extend(refill.encode().ok().map(|bytes| (2, bytes)));
    inputs.extend(reply(&statuses).map(|bytes| (3, bytes)));
    inputs.extend(statuses.encode().ok().map(|(kind, bytes)| (kind as u8 + 3, bytes)));
    inputs
}

fn reply(frame: &ReplyFrame) -> Option<Vec<u8>> {
    let mut encoder = ReplyEncoder::new(Weight::Light).ok()?;
    encoder.push(frame).ok()?;
    encoder.finish(true, None).ok()
}
