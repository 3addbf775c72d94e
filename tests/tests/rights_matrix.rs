//! Role by record type by state by action: what the server takes is what docs/roles.md says, case by case. The page is made
//! of the table of roles by `doorstep role table`; here it is read again, and each case is put to the merge.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

use std::sync::Arc;

use doorstep_core::clock::{ManualClock, SeededEntropy, SystemEntropy, random};
use doorstep_core::id::{AreaId, DeviceId, Identity, RecordId, UserId, branch_actor};
use doorstep_core::protocol::{Batch, BatchHeader, GrantEntry, RecordBody, RecordFrame, State, WireChange};
use doorstep_core::record::{Author, ChangeNote, Edit, Record, Section, Value};
use doorstep_core::rights::{Roles, Standing};
use doorstep_server::cli::role::table;
use doorstep_server::service::merge::{Sender, open_record, subjects};
use doorstep_server::service::office::{FormInstance, Office};
use doorstep_server::service::rights::Rights;
use doorstep_server::service::{Committer, Service};
use doorstep_server::storage::{Device, Known, PushQuery, SqliteStorage, User};
use ed25519_dalek::SigningKey;
use tempfile::TempDir;

const TYPES: [&str; 4] = ["household", "visit", "satisfaction", "problem"];
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

/// What the page says of a case.
fn allowed(lines: &[Line], role: &str, case: &Case) -> bool {
    let own: Vec<&Line> = lines.iter().filter(|line| line.role == role).collect();
    let named = own.iter().any(|line| line.records.iter().any(|r| r == case.record_type));
    let wanted = if named { case.record_type } else { "all others" };
    own.into_iter().any(|line| {
        let verb = line.may.iter().any(|may| match case.action {
            "set_state" => may.strip_prefix("put into ").is_some_and(|to| to.split(" or ").any(|to| to == case.to)),
            action => may == action,
        });
        let question = match line.questions.strip_prefix("all but ") {
            Some(but) => case.action == "set_state" || !but.split(", ").any(|question| question == case.question),
            None => line.questions == "all",
        };
        line.records.iter().any(|r| r == wanted)
            && line.documents.iter().any(|d| d == case.class)
            && verb
            && question
            && (line.states == "any" || line.states.split(", ").any(|state| state == case.state))
    })
}

#[derive(Debug, Clone, Copy)]
struct Case {
    record_type: &'static str,
    class: &'static str,
    state: &'static str,
    action: &'static str,
    question: &'static str,
    to: &'static str,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for record_type in TYPES {
        for class in if record_type == "household" { &["core", "sensitive", "office"][..] } else { &["core"] } {
            let question = match *class {
                "sensitive" => "phone",
                "office" => "office_note",
                _ => "remark",
            };
            for state in STATES {
                let case = Case { record_type, class, state, action: "edit", question, to: "" };
                cases.push(case);
                if record_type == "household" && *class == "core" {
                    cases.push(Case { question: "status", ..case });
                }
                if *class == "core" {
                    cases.extend(STATES.map(|to| Case { action: "set_state", to, ..case }));
                }
            }
            cases.push(Case { record_type, class, state: "open", action: "create", question, to: "" });
        }
    }
    cases
}

struct Town {
    _dir: TempDir,
    service: Arc<Service>,
    township: AreaId,
    key: SigningKey,
    /// By type and state; and one without parts for making them.
    records: Vec<(&'static str, &'static str, RecordId)>,
    bare: RecordId,
}

impl Town {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let storage = Arc::new(SqliteStorage::open(&dir.path().join("server.db")).unwrap());
        let clock = Arc::new(ManualClock::at(1_790_000_000_000));
        let service = Service::open(storage, clock, Arc::new(SeededEntropy::new(5)), Committer::Inline).unwrap();
        let (township, desk) = (AreaId([1; 16]), UserId([2; 16]));
        service.storage.put_areas(township, &[]).unwrap();
        let office = Office::start(&service, desk, township).unwrap();
        let mut records = Vec::new();
        let write = |record_type: &str, answers: &[(&str, &str)]| {
            let id = RecordId(random(&SystemEntropy));
            let answers = answers.iter().map(|(k, v)| ((*k).to_owned(), Value::from(*v))).collect();
            let identity = Identity::of_type(record_type);
            office.write(&[FormInstance { id, identity, area: township, subject: None, answers }]).unwrap();
            id
        };
        for record_type in TYPES {
            for state in STATES {
                let parts = [("remark", "x"), ("phone", "12345"), ("office_note", "x")];
                let id = write(record_type, if record_type == "household" { &parts } else { &parts[..1] });
                if state != "open" {
                    let standing = Standing { state: state.to_owned(), reason: String::new() };
                    office.set_state(id, &standing).unwrap();
                }
                records.push((record_type, state, id));
            }
        }
        let bare = write("household", &[("remark", "x")]);
        Self { _dir: dir, service, township, key: SigningKey::from_bytes(&[7; 32]), records, bare }
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

    /// What the server says of a change; nothing of it is stored.
    fn judge(&self, device: &Device, case: &Case) -> (State, String) {
        let found = self.records.iter().find(|(t, s, _)| (*t, *s) == (case.record_type, case.state)).unwrap().2;
        let core = match (case.action, case.class) {
            ("create", "core") => RecordId(random(&SystemEntropy)),
            ("create", _) => self.bare,
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

#[test]
#[expect(clippy::print_stdout, reason = "says how much was tried")]
fn what_the_server_takes_is_what_the_page_of_roles_says_for_each_role_type_state_and_action() {
    let (town, lines) = (Town::new(), lines());
    let (mut taken, mut refused) = (0, 0);
    for role in Roles::builtin().iter() {
        let device = town.person(&role.name);
        for case in cases() {
            let expected = allowed(&lines, &role.name, &case);
            let (state, reason) = town.judge(&device, &case);
            assert_eq!(state == State::Stored, expected, "{} {case:?}: {state:?} {reason}", role.name);
            if expected {
                taken += 1
            } else {
                refused += 1
            }
            let known = ["forbidden_type", "forbidden_answer", "locked", "forbidden_state"];
            assert!(expected || known.contains(&reason.as_str()), "{reason}");
        }
    }
    println!("{taken} taken, {refused} refused");
    assert!(taken > 100 && refused > 100, "{taken} taken, {refused} refused");
}
