//! A small invented township behind the real pages, for the browser test: real service, real merge, SQLite.
//!
//! `cargo run -p doorstep-server --example pages -- FOLDER` prints two addresses, one a line, and serves until its standard
//! input ends: the first stands open, the second asks for the key `practice`. The clock stands at 2020-06-30 18:00 (UTC+8), so that what the pages show never changes.
#![expect(clippy::print_stdout, reason = "its output is how the test learns the address")]

use std::error::Error;
use std::sync::Arc;

use doorstep_core::clock::{ManualClock, SeededEntropy, random};
use doorstep_core::form::Pack;
use doorstep_core::id::{AreaId, ChangeHash, DeviceId, Identity, RecordId, UserId, branch_actor};
use doorstep_core::protocol::{AreaEntry, Batch, BatchHeader, RecordBody, RecordFrame, WireChange};
use doorstep_core::record::{Author, ChangeNote, Edit, FormRef, Record, Value};
use doorstep_server::api::office::OfficeAccess;
use doorstep_server::app::{App, run};
use doorstep_server::service::merge::Sender;
use doorstep_server::service::{Committer, Service};
use doorstep_server::storage::{self, Device, SqliteStorage, Storage, SyncNote, User};
use ed25519_dalek::SigningKey;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 3600 * 1000;
/// 2020-06-30 18:00 in UTC+8.
const NOW_MS: u64 = 1_593_511_200_000;
const TOWNSHIP: AreaId = AreaId([1; 16]);

struct Phone {
    device: Device,
    key: SigningKey,
    number: u64,
    last: [u8; 32],
    /// The user whom its changes name.
    user: UserId,
    /// What its own clock adds to the true time.
    clock_off_s: i64,
}

struct Fixture {
    service: Arc<Service>,
    clock: Arc<ManualClock>,
    entropy: Arc<SeededEntropy>,
}

/// A record as the phones of this fixture know it.
struct Known {
    id: RecordId,
    area: AreaId,
    subject: Option<RecordId>,
    record: Record,
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

impl Fixture {
    fn open(folder: &std::path::Path) -> Outcome<Self> {
        std::fs::create_dir_all(folder)?;
        let storage: Arc<dyn Storage> = Arc::new(SqliteStorage::open(&folder.join("doorstep.db"))?);
        let clock = Arc::new(ManualClock::at(NOW_MS - 3 * DAY_MS));
        let entropy = Arc::new(SeededEntropy::new(7));
        let service = Service::open(storage, clock.clone(), entropy.clone(), Committer::Inline)?;
        Ok(Self { service, clock, entropy })
    }

    fn areas(&self) -> Outcome {
        let area = |n: u8, parent, level: &str, zh: &str, en: &str| AreaEntry {
            area: AreaId([n; 16]),
            parent,
            level: level.to_owned(),
            code: format!("9999990{n:02}"),
            name_zh: zh.to_owned(),
            name_en: en.to_owned(),
        };
        let villages = [("石桥村", "Shiqiao"), ("柳树村", "Liushu"), ("大湾村", "Dawan"), ("高坡村", "Gaopo")];
        let mut areas = vec![area(1, None, "township", "青石乡（演练）", "Qingshi (practice)")];
        areas.extend(villages.iter().zip(2..).map(|((zh, en), n)| area(n, Some(TOWNSHIP), "village", zh, en)));
        self.service.storage.put_areas(TOWNSHIP, &areas)?;
        Ok(())
    }

    fn phone(&self, n: u8, name: &str) -> Outcome<Phone> {
        let user = UserId([n; 16]);
        self.service
            .storage
            .put_users(&[User { id: user, name: name.to_owned(), unit: "县农业农村局".to_owned() }])?;
        let key = SigningKey::from_bytes(&random(&*self.entropy));
        let device = Device {
            id: DeviceId(random(&*self.entropy)),
            user,
            township: TOWNSHIP,
            public_key: key.verifying_key().to_bytes(),
            enrolled_ms: NOW_MS - 40 * DAY_MS,
            revoked: false,
            lost: None,
            counter: 0,
            last_sync_ms: 0,
            previous_sync_ms: 0,
            feed_seq: 0,
            known: storage::Known::default(),
        };
        self.service.storage.put_device(&device)?;
        Ok(Phone { device, key, number: 0, last: [0; 32], user, clock_off_s: 0 })
    }

    fn record(&self, record_type: &str, village: u8, subject: Option<RecordId>) -> Known {
        let record = Record::new(Identity::of_type(record_type));
        Known { id: RecordId(random(&*self.entropy)), area: AreaId([village; 16]), subject, record }
    }

    fn part(&self, of: &Known, class: &str) -> Outcome<Known> {
        let identity = Identity::part(&of.record.identity().record_type, class, of.id);
        let id = identity.derived_id(&self.service.tenant_key()).ok_or("a part has a derived id")?;
        Ok(Known { id, area: of.area, subject: Some(of.id), record: Record::new(identity) })
    }

    /// Writes answers at `heads`, as a phone that knew no more, and sends them.
    fn send(&self, phone: &mut Phone, known: &mut Known, heads: &[ChangeHash], answers: &[(&str, Value)]) -> Outcome {
        let record_type = known.record.identity().record_type.clone();
        let form = Pack::built_in().form_of_type(record_type.split('.').next().unwrap_or_default());
        let author = Author {
            actor: branch_actor(&phone.device.public_key, 0),
            note: ChangeNote {
                form: form.map(|f| FormRef { name: f.name.clone(), version: f.version }),
                ..ChangeNote::by(phone.user)
            },
            claimed_s: i64::try_from(self.service.clock.now_ms() / 1000)? + phone.clock_off_s - 1800,
        };
        let edits: Vec<Edit> = answers.iter().map(|(key, value)| Edit::answer(*key, value.clone())).collect();
        let change = known.record.edit(heads, &author, &edits)?.ok_or("nothing was written")?;
        let frame = RecordFrame {
            id: known.id,
            identity: known.record.identity().clone(),
            incarnation: 0,
            area: known.area,
            subject: known.subject,
            body: RecordBody::Changes(vec![WireChange::new(change.hash, change.bytes)]),
        };
        self.push(phone, vec![frame])
    }

    /// Writes answers on top of all that is known.
    fn write(&self, phone: &mut Phone, known: &mut Known, answers: &[(&str, Value)]) -> Outcome {
        let heads = known.record.heads();
        self.send(phone, known, &heads, answers)
    }

    fn push(&self, phone: &mut Phone, frames: Vec<RecordFrame>) -> Outcome {
        let storage = &*self.service.storage;
        let header = BatchHeader {
            tenant: self.service.secrets.tenant,
            device: phone.device.id,
            branch: 0,
            number: phone.number + 1,
            previous: phone.last,
        };
        let batch = Batch::sign(header, frames, &phone.key);
        let sender = Sender::Author { device: &phone.device, branch: 0 };
        let merge = self.service.merge(sender, batch.header.number, self.service.clock.now_ms())?;
        let push = merge.batch(&batch, batch.hash())?;
        for answer in storage.commit_group(&[push])? {
            answer?;
        }
        (phone.number, phone.last) = (batch.header.number, batch.hash());
        self.clock.advance(MINUTE_MS);
        Ok(())
    }

    fn synced(&self, phone: &Phone, days_ago: u64, behind: u64) -> Outcome {
        let (head, _) = self.service.storage.head(TOWNSHIP)?;
        let at = NOW_MS - days_ago * DAY_MS - 17 * MINUTE_MS;
        let (counter, feed_seq) = (phone.number + 10, head.seq.saturating_sub(behind));
        let (device, known) = (phone.device.id, storage::Known::default());
        self.service.storage.note_sync(SyncNote { device, counter, now_ms: at, feed_seq, known })?;
        Ok(())
    }

    /// A household with `members` persons.
    fn household(&self, phone: &mut Phone, village: u8, number: u32, head: &str, members: usize) -> Outcome<Known> {
        const STATUSES: [&str; 5] = ["not_out", "out", "stable_out", "marginal", "monitored"];
        const GIVEN: [&str; 6] = ["建国", "秀英", "小军", "晓燕", "志强", "桂兰"];
        const RELATIONS: [&str; 6] = ["head", "spouse", "son", "daughter", "father", "mother"];
        let mut household = self.record("household", village, None);
        let surname: String = head.chars().take(1).collect();
        let mut answers = vec![
            ("head_name".to_owned(), text(head)),
            ("household_no".to_owned(), text(&format!("99999900{number:04}"))),
            ("group".to_owned(), text(&format!("{}组", number % 5 + 1))),
            ("status".to_owned(), text(STATUSES[number as usize % STATUSES.len()])),
            ("status_year".to_owned(), Value::Int(2016 + i64::from(number % 4))),
        ];
        for (i, (given, relation)) in GIVEN.iter().zip(RELATIONS).take(members).enumerate() {
            let name = if i == 0 { head.to_owned() } else { format!("{surname}{given}") };
            let key = |question: &str| format!("member#{i:016x}/{question}");
            let sex = if i % 2 == 0 { "male" } else { "female" };
            answers.push((key("name"), text(&name)));
            answers.push((key("sex"), text(sex)));
            answers.push((key("birth"), text(&format!("19{}-0{}-1{}", 50 + 9 * (i % 5), i + 1, i))));
            answers.push((key("relation"), text(relation)));
            answers.push((key("@order"), Value::Int(i as i64)));
        }
        let answers: Vec<(&str, Value)> = answers.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
        self.write(phone, &mut household, &answers)?;
        Ok(household)
    }

    fn visit(&self, phone: &mut Phone, household: &Known, day: &str, more: &[(&str, Value)]) -> Outcome<Known> {
        let mut visit = Known { area: household.area, ..self.record("visit", 0, Some(household.id)) };
        let mut answers = vec![("visit_date", text(day)), ("result", text("met")), ("who_answered", text("head"))];
        answers.extend_from_slice(more);
        self.write(phone, &mut visit, &answers)?;
        Ok(visit)
    }
}

/// The household on which the test looks closely: three people changed it at once.
fn contested(fixture: &Fixture, phones: &mut [Phone]) -> Outcome {
    let mut household = fixture.household(&mut phones[0], 2, 1, "王大山", 4)?;
    let mut sensitive = fixture.part(&household, "sensitive")?;
    let secret =
        [("member#0000000000000000/id_number", text("999999195001100013")), ("income_wages", Value::Number(18000.0))];
    fixture.write(&mut phones[0], &mut sensitive, &secret)?;
    fixture.write(
        &mut phones[0],
        &mut household,
        &[("remark", text("房屋漏雨，已报村委会 <script>alert(1)</script>"))],
    )?;
    let heads = household.record.heads();
    let own = [
        ("status", text("marginal")),
        ("attributes=minimum_living", Value::Bool(true)),
        ("address", text("石桥村3组12号")),
    ];
    fixture.send(&mut phones[1], &mut household, &heads, &own)?;
    let other = [
        ("status", text("monitored")),
        ("attributes=disabled_member", Value::Bool(true)),
        ("member#0000000000000001/education", text("primary")),
        ("member#0000000000000003/@deleted", Value::Bool(true)),
    ];
    fixture.send(&mut phones[2], &mut household, &heads, &other)?;
    let third = [("member#0000000000000001/education", text("none")), ("member#00000000000000aa/name", text("王小宝"))];
    fixture.send(&mut phones[0], &mut household, &heads, &third)?;

    let four_ones =
        [("four_ones=talk", Value::Bool(true)), ("four_ones=measures", Value::Bool(true)), ("water_ok", text("met"))];
    let mut visit = fixture.visit(&mut phones[1], &household, "2020-06-10", &four_ones)?;
    let heads = visit.record.heads();
    fixture.send(&mut phones[1], &mut visit, &heads, &[("satisfaction", text("satisfied"))])?;
    fixture.send(&mut phones[2], &mut visit, &heads, &[("satisfaction", text("not_satisfied"))])?;
    fixture.visit(&mut phones[0], &household, "2020-06-25", &[("result", text("phone"))])?;
    let identity = Identity::keyed("screening", &[RecordId([9; 16]), household.id]);
    let id = identity.derived_id(&fixture.service.tenant_key()).ok_or("a screening has a derived id")?;
    let mut screening = Known { id, area: household.area, subject: Some(household.id), record: Record::new(identity) };
    let answers = [("screening_date", text("2020-06-20")), ("round", Value::Int(1)), ("house_grade", text("C"))];
    fixture.write(&mut phones[0], &mut screening, &answers)
}

/// The rest of the township: enough for a second page, some of it visited.
fn crowd(fixture: &Fixture, phones: &mut [Phone]) -> Outcome {
    const HEADS: [&str; 8] = ["李长顺", "张桂芳", "陈德富", "刘玉梅", "赵铁柱", "周世民", "吴秀兰", "欧阳·买买提"];
    for number in 2..=70u32 {
        let village = if number <= 58 { 2 } else { 3 + (number % 2) as u8 };
        let phone = &mut phones[number as usize % 3];
        let head = HEADS[number as usize % HEADS.len()];
        let household = fixture.household(phone, village, number, head, 1 + number as usize % 6)?;
        if number % 4 == 0 {
            let day = format!("2020-06-{:02}", 1 + number % 26);
            let mut visit = fixture.visit(phone, &household, &day, &[])?;
            doubtful(fixture, phone, number, &household, &mut visit)?;
        }
    }
    Ok(())
}

/// What breaks rules: visits that end before they begin, the second of which was corrected since, and a telephone that is none.
fn doubtful(fixture: &Fixture, phone: &mut Phone, number: u32, household: &Known, visit: &mut Known) -> Outcome {
    if matches!(number, 8 | 64) {
        fixture.write(phone, visit, &[("start_time", text("10:30")), ("end_time", text("09:10"))])?;
    }
    if number == 64 {
        fixture.write(phone, visit, &[("end_time", text("11:10"))])?;
    }
    if number == 12 {
        let mut sensitive = fixture.part(household, "sensitive")?;
        fixture.write(phone, &mut sensitive, &[("phone", text("没有"))])?;
    }
    Ok(())
}

fn fill(fixture: &Fixture) -> Outcome {
    fixture.areas()?;
    let mut phones = vec![fixture.phone(11, "刘志远")?, fixture.phone(12, "孙丽")?, fixture.phone(13, "马晓东")?];
    phones[2].clock_off_s = -2 * 24 * 3600;
    contested(fixture, &mut phones)?;
    crowd(fixture, &mut phones)?;
    let mut foreign = fixture.phone(14, "黄海")?;
    let honest = foreign.user;
    foreign.user = UserId([11; 16]);
    let mut household = fixture.record("household", 2, None);
    fixture.write(&mut foreign, &mut household, &[("head_name", text("冒名"))])?;
    foreign.user = honest;
    let silent = fixture.phone(15, "杨柳")?;
    let mut revoked = fixture.phone(16, "郭建新")?;
    revoked.device.revoked = true;
    fixture.service.storage.put_device(&revoked.device)?;
    for (phone, days_ago, behind) in [(&phones[0], 0, 0), (&phones[1], 1, 12), (&phones[2], 2, 40), (&silent, 12, 160)]
    {
        fixture.synced(phone, days_ago, behind)?;
    }
    fixture.clock.set(NOW_MS);
    Ok(())
}

fn main() -> Outcome {
    let folder = std::env::args_os().nth(1).ok_or("which folder?")?;
    let fixture = Fixture::open(folder.as_ref())?;
    fill(&fixture)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let keyed = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("http://{}\nhttp://{}", open.local_addr()?, keyed.local_addr()?);
        let keyed_app = App::new(fixture.service.clone(), OfficeAccess::key("practice"));
        tokio::spawn(run(keyed_app, keyed, std::future::pending()));
        let ended = async {
            let input = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
            let _ = input.await;
        };
        run(App::new(fixture.service.clone(), OfficeAccess::Open), open, ended).await;
        Ok(())
    })
}
