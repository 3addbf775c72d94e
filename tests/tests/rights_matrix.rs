//! Role by record type by state by action: what the server takes and sends is what docs/roles.md says, case by case. The page
//! is made of the table of roles by `doorstep role table`; here it is read again, each case of writing is put to the merge, and
//! what each role reads is synced by a phone. On PostgreSQL the same with every seventh case of writing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

use std::collections::BTreeSet;
use std::sync::Arc;

use doorstep_core::client::Phone;
use doorstep_core::clock::{ManualClock, SeededEntropy, SystemEntropy, random};
use doorstep_core::id::{AreaId, DeviceId, Identity, RecordId, UserId, branch_actor};
use doorstep_core::protocol::{Batch, BatchHeader, GrantEntry, RecordBody, RecordFrame, State, WireChange};
use doorstep_core::record::{Author, ChangeNote, Edit, Record, Section, Value};
use doorstep_core::rights::{OPEN, Roles, Standing};
use doorstep_core::store::Enrolment;
use doorstep_core::sync::{Cancel, Silent};
use doorstep_server::cli::role::table;
use doorstep_server::service::merge::{Sender, open_record, subjects};
use doorstep_server::service::office::{FormInstance, Office};
use doorstep_server::service::rights::Rights;
use doorstep_server::service::{Committer, Service};
use doorstep_server::storage::{Device, Known, PostgresStorage, PushQuery, SqliteStorage, Storage, User};
use doorstep_tests::database::fresh_database;
use doorstep_tests::tap::{Tap, Wire};
use ed25519_dalek::SigningKey;
use tempfile::TempDir;

/// A type that no role names.
const UNNAMED: &str = "birth";
const SEED: [u8; 32] = [7; 32];
const STATES: [&str; 4] = ["open", "submitted", "approved", "returned"];

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/roles.md");
    std::fs::read_to_string(path).expect("docs/roles.md")
}

/// A line of the page's table.
struct Line {
    role: String,
    records: Vec<String>,
    documents: Vec<String>,
    may: Vec<String>,
    states: String,
    questions: String,
}

fn lines() -> Vec<Line> {
    let list = |cell: &str| cell.split(", ").map(str::to_owned).collect::<Vec<_>>();
    let rows = page();
    let rows = rows.lines().filter(|line| line.starts_with("| ")).skip(1);
    let cells = rows.map(|row| row.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect::<Vec<_>>());
    let line = |c: Vec<String>| Line {
        role: c[0].clone(),
        records: list(&c[1]),
        documents: list(&c[2]),
        may: list(&c[3]),
        states: c[4].clone(),
        questions: c[5].clone(),
    };
    cells.map(line).collect()
}

/// The types that the page names, and one that it doesn't.
fn types(lines: &[Line]) -> Vec<String> {
    let named: BTreeSet<&str> = lines.iter().flat_map(|line| &line.records).map(String::as_str).collect();
    let types = named.into_iter().filter(|name| *name != "all others").chain([UNNAMED]);
    types.map(str::to_owned).collect()
}

fn classes(record_type: &str) -> &'static [&'static str] {
    if record_type == "household" { &["core", "sensitive", "office"] } else { &["core"] }
}

/// The lines that count for a role and a document.
fn lines_on<'a>(lines: &'a [Line], role: &str, record_type: &str, class: &str) -> impl Iterator<Item = &'a Line> {
    let own: Vec<&Line> = lines.iter().filter(|line| line.role == role).collect();
    let named = own.iter().any(|line| line.records.iter().any(|r| r == record_type));
    let wanted = if named { record_type } else { "all others" };
    let counts = |line: &&Line| line.records.iter().any(|r| r == wanted) && line.documents.iter().any(|d| d == class);
    own.into_iter().filter(counts).collect::<Vec<_>>().into_iter()
}

/// What the page says of reading.
fn reads(lines: &[Line], role: &str, record_type: &str, class: &str) -> bool {
    lines_on(lines, role, record_type, class).any(|line| line.may.iter().any(|may| may == "read"))
}

/// What the page says of a case of writing.
fn allowed(lines: &[Line], role: &str, case: &Case<'_>) -> bool {
    // a part of what isn't open any more is locked with its core record: making it then is editing
    let action = if case.action == "create" && case.state != OPEN { "edit" } else { case.action };
    lines_on(lines, role, case.record_type, case.class).any(|line| {
        let verb = line.may.iter().any(|may| match action {
            "set_state" => may.strip_prefix("put into ").is_some_and(|to| to.split(" or ").any(|to| to == case.to)),
            action => may == action,
        });
        let question = match line.questions.strip_prefix("all but ") {
            Some(but) => action == "set_state" || !but.split(", ").any(|question| question == case.question),
            None => line.questions == "all",
        };
        verb && question && (line.states == "any" || line.states.split(", ").any(|state| state == case.state))
    })
}

#[derive(Debug, Clone, Copy)]
struct Case<'a> {
    record_type: &'a str,
    class: &'static str,
    state: &'static str,
    action: &'static str,
    question: &'static str,
    to: &'static str,
}

fn cases(types: &[String]) -> Vec<Case<'_>> {
    let mut cases = Vec::new();
    for record_type in types {
        for class in classes(record_type) {
            let question = question_of(class);
            for state in STATES {
                let case = Case { record_type, class, state, action: "edit", question, to: "" };
                cases.push(case);
                if record_type == "household" && *class == "core" {
                    cases.push(Case { question: "status", ..case });
                }
                if *class == "core" {
                    cases.extend(STATES.map(|to| Case { action: "set_state", to, ..case }));
                }
                // a record begins open; its parts may come at any time
                if *class != "core" || state == OPEN {
                    cases.push(Case { action: "create", ..case });
                }
            }
        }
    }
    cases
}

fn question_of(class: &str) -> &'static str {
    match class {
        "sensitive" => "phone",
        "office" => "office_note",
        _ => "remark",
    }
}

struct Town {
    dir: TempDir,
    service: Arc<Service>,
    township: AreaId,
    clock: Arc<ManualClock>,
    key: SigningKey,
    /// By type and state.
    records: Vec<(String, &'static str, RecordId)>,
    /// Households by state, without the parts that are made.
    bare: Vec<(&'static str, RecordId)>,
    /// The word that stands in each document only.
    words: Vec<(String, &'static str, String)>,
}

impl Town {
    fn new(dir: TempDir, storage: Arc<dyn Storage>, types: &[String]) -> Self {
        let clock = Arc::new(ManualClock::at(1_790_000_000_000));
        let entropy = Arc::new(SeededEntropy::new(5));
        let service = Service::open(storage, clock.clone(), entropy, Committer::Inline).unwrap();
        let (township, desk) = (AreaId([1; 16]), UserId([2; 16]));
        service.storage.put_areas(township, &[]).unwrap();
        let office = Office::start(&service, desk, township).unwrap();
        let key = SigningKey::from_bytes(&SEED);
        let (records, bare, words) = (Vec::new(), Vec::new(), Vec::new());
        let mut town = Self { dir, service, township, clock, key, records, bare, words };
        for state in STATES {
            for record_type in types {
                let id = town.write(&office, record_type, state, classes(record_type));
                town.records.push((record_type.clone(), state, id));
            }
            let id = town.write(&office, "household", state, &classes("household")[..1]);
            town.bare.push((state, id));
        }
        town
    }

    /// A record with a word of its own in each of these documents.
    fn write(&mut self, office: &Office, record_type: &str, state: &str, classes: &[&'static str]) -> RecordId {
        let id = RecordId(random(&SystemEntropy));
        let mut answers = Vec::new();
        for class in classes {
            let word = format!("word{:04}drow", self.words.len());
            answers.push((question_of(class).to_owned(), Value::from(word.as_str())));
            self.words.push((record_type.to_owned(), class, word));
        }
        let identity = Identity::of_type(record_type);
        office.write(&[FormInstance { id, identity, area: self.township, subject: None, answers }]).unwrap();
        if state != OPEN {
            let standing = Standing { state: state.to_owned(), reason: String::new() };
            office.set_state(id, &standing).unwrap();
        }
        id
    }

    fn person(&self, role: &str) -> Device {
        let user = UserId(random(&SystemEntropy));
        let storage = &self.service.storage;
        storage.put_users(&[User { id: user, name: String::new(), unit: String::new() }]).unwrap();
        let grant = GrantEntry { grant: 0, role: role.to_owned(), area: self.township, subject: None, active: true };
        storage.append_grants(user, &[grant.into()]).unwrap();
        let device = Device {
            id: DeviceId(random(&SystemEntropy)),
            user,
            township: self.township,
            public_key: self.key.verifying_key().to_bytes(),
            enrolled_ms: 1,
            revoked: false,
            lost: None,
            counter: 0,
            last_sync_ms: 0,
            previous_sync_ms: 0,
            feed_seq: 0,
            known: Known::default(),
        };
        storage.put_device(&device).unwrap();
        device
    }

    /// All that the server sends to a phone of this device's, and what the phone has of it.
    fn synced(&self, role: &str, device: &Device) -> (Vec<u8>, BTreeSet<RecordId>) {
        let tap = Arc::new(Tap::default());
        let (dir, entropy) = (self.dir.path().join(role), Arc::new(SystemEntropy));
        let (phone, _) = Phone::open(&dir, self.clock.clone(), entropy).unwrap();
        let secrets = &self.service.secrets;
        let enrolment = Enrolment {
            tenant: secrets.tenant,
            tenant_key: secrets.tenant_key,
            township: self.township,
            device: device.id,
            user: device.user,
            user_name: String::new(),
            signing_seed: SEED,
            server_url: "https://server.invalid".into(),
            server_identity: self.service.identity(),
            certificate: None,
        };
        phone.store().enrol(&enrolment).unwrap();
        phone.use_transport(Arc::new(Wire::to(&self.service, tap.clone())));
        phone.sync(&Silent, &Cancel::default()).unwrap();
        let ids = self.records.iter().map(|(.., id)| *id);
        let held = ids.filter(|id| phone.store().record(*id).unwrap().is_some()).collect();
        (tap.take(), held)
    }

    /// What the server says of a change; nothing of it is stored.
    fn judge(&self, device: &Device, case: &Case<'_>) -> (State, String) {
        let found = self.records.iter().find(|(t, s, _)| (t.as_str(), *s) == (case.record_type, case.state)).unwrap().2;
        let core = match (case.action, case.class) {
            ("create", "core") => RecordId(random(&SystemEntropy)),
            ("create", _) => self.bare.iter().find(|(state, _)| *state == case.state).unwrap().1,
            _ => found,
        };
        let (id, identity) = if case.class == "core" {
            (core, Identity::of_type(case.record_type))
        } else {
            let part = Identity::part(case.record_type, case.class, core);
            (part.derived_id(&self.service.tenant_key()).unwrap(), part)
        };
        let stored = self.service.storage.load_records(self.township, &[id]).unwrap().remove(0);
        assert_eq!(stored.is_some(), case.action != "create", "{case:?}");
        let mut record = stored.as_ref().map_or_else(|| Record::new(identity.clone()), |s| open_record(s).unwrap());
        let heads = record.heads();
        let actor = branch_actor(&device.public_key, 0);
        let author = Author { actor, note: ChangeNote::by(device.user), claimed_s: 1_790_000_000 };
        let edit = if case.action == "set_state" {
            let json = Standing { state: case.to.to_owned(), reason: String::new() }.to_json();
            Edit { section: Section::Events, key: "0123456789abcdef".to_owned(), value: Value::Text(json) }
        } else {
            Edit::answer(case.question, "y")
        };
        let change = record.edit(&heads, &author, &[edit]).unwrap().unwrap();
        let subject = (case.class != "core").then_some(core);
        let body = RecordBody::Changes(vec![WireChange::new(change.hash, change.bytes)]);
        let frame = RecordFrame { id, identity, incarnation: 0, area: self.township, subject, body };
        let header = BatchHeader {
            tenant: self.service.secrets.tenant,
            device: device.id,
            branch: 0,
            number: 1,
            previous: [0; 32],
        };
        let batch = Batch::sign(header, vec![frame], &self.key);
        let asked = PushQuery {
            township: self.township,
            device: device.id,
            branch: 0,
            number: 1,
            records: &[id],
            subjects: &subjects(&batch.records),
            user: device.user,
        };
        let mut base = self.service.storage.push_base(&asked).unwrap().merge;
        let claims = base.claims.take().unwrap();
        let now_ms = self.service.clock.now_ms();
        let rights = Rights::of(&claims, self.township, Known::nothing_new(), now_ms);
        let merge = self.service.merge(Sender::Author { device, branch: 0 }, 1, now_ms).unwrap();
        let push = merge.by_rights(rights, claims).on(base).batch(&batch, [0; 32]).unwrap();
        let outcome = push.batch.unwrap().outcomes.remove(0);
        (outcome.state, outcome.reason)
    }
}

#[test]
fn the_page_of_roles_is_the_table_of_roles() {
    assert!(
        page().contains(&table(Roles::builtin().iter())),
        "docs/roles.md is older than the roles: put what `doorstep role table` prints there"
    );
}

/// Puts every `step`th case of writing, and all of reading, to a server on this storage.
fn hold_against_the_page(dir: TempDir, storage: Arc<dyn Storage>, step: usize) -> [usize; 4] {
    let lines = lines();
    let types = types(&lines);
    let (town, cases) = (Town::new(dir, storage, &types), cases(&types));
    let [mut taken, mut refused, mut read, mut withheld] = [0; 4];
    for (offset, role) in Roles::builtin().iter().enumerate() {
        let device = town.person(&role.name);
        for case in cases.iter().skip(offset % step).step_by(step) {
            let expected = allowed(&lines, &role.name, case);
            let (state, reason) = town.judge(&device, case);
            assert_eq!(state == State::Stored, expected, "{} {case:?}: {state:?} {reason}", role.name);
            if expected {
                taken += 1
            } else {
                refused += 1
            }
            let known = ["forbidden_type", "forbidden_answer", "locked", "forbidden_state"];
            assert!(expected || known.contains(&reason.as_str()), "{reason}");
        }
        let (came, held) = town.synced(&role.name, &device);
        for (record_type, class, word) in &town.words {
            let is_there = came.windows(word.len()).any(|window| window == word.as_bytes());
            let expected = reads(&lines, &role.name, record_type, class);
            assert_eq!(is_there, expected, "{} reads {record_type} {class}", role.name);
            if expected { read += 1 } else { withheld += 1 }
        }
        for (record_type, _, id) in &town.records {
            assert_eq!(held.contains(id), reads(&lines, &role.name, record_type, "core"), "{record_type}");
        }
    }
    [taken, refused, read, withheld]
}

#[test]
#[expect(clippy::print_stdout, reason = "says how much was tried")]
fn what_the_server_takes_and_sends_is_what_the_page_of_roles_says_for_each_role_type_state_and_action() {
    assert!(types(&lines()).len() >= 14, "the page names many types");
    let dir = TempDir::new().unwrap();
    let storage = Arc::new(SqliteStorage::open(&dir.path().join("server.db")).unwrap());
    let [taken, refused, read, withheld] = hold_against_the_page(dir, storage, 1);
    println!("{taken} taken, {refused} refused, {read} read, {withheld} withheld");
    assert!([taken, refused, read, withheld].iter().all(|n| *n > 100), "the page allows some and refuses some");
}

#[test]
#[expect(clippy::print_stdout, reason = "says how much was tried")]
fn on_postgresql_too_what_the_server_takes_and_sends_is_what_the_page_of_roles_says() {
    let Some(url) = fresh_database("doorstep_rights") else { return };
    let storage = Arc::new(PostgresStorage::connect(&url).unwrap());
    let [taken, refused, read, withheld] = hold_against_the_page(TempDir::new().unwrap(), storage, 7);
    println!("{taken} taken, {refused} refused, {read} read, {withheld} withheld");
    assert!([taken, refused, read, withheld].iter().all(|n| *n > 50), "the page allows some and refuses some");
}
