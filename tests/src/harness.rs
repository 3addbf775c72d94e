//! What the end-to-end tests share: a real server on a free port and real phones in scratch folders.
#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use doorstep_core::client::{NewRecord, Phone};
use doorstep_core::clock::{ManualClock, SystemClock, SystemEntropy, random};
use doorstep_core::id::{AreaId, RecordId, UserId};
use doorstep_core::protocol::{AreaEntry, GrantEntry};
use doorstep_core::sync::{Cancel, Silent, SyncOptions, SyncReport};
use doorstep_server::api::office::OfficeAccess;
use doorstep_server::app::{self, App};
use doorstep_server::service::audit::Actor;
use doorstep_server::service::{Committer, Service};
use doorstep_server::storage::{SqliteStorage, Storage, TownshipId, User};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A server in this process, over HTTP on a free port. Stops when dropped.
pub struct TestServer {
    /// Its service.
    pub service: Arc<Service>,
    /// Where it listens.
    pub address: SocketAddr,
    /// The township that was made.
    pub township: TownshipId,
    /// Its two villages.
    pub villages: [AreaId; 2],
    runtime: Option<tokio::runtime::Runtime>,
    stop: Option<oneshot::Sender<()>>,
}

impl TestServer {
    /// A server on a fresh SQLite database in `dir`.
    pub fn start(dir: &Path) -> Self {
        let storage: Arc<dyn Storage> = Arc::new(SqliteStorage::open(&dir.join("doorstep.db")).expect("storage opens"));
        Self::on(storage)
    }

    /// A server on a fresh SQLite database in `dir`, whose pages and API are guarded.
    pub fn start_with_office(dir: &Path, office: OfficeAccess) -> Self {
        let storage: Arc<dyn Storage> = Arc::new(SqliteStorage::open(&dir.join("doorstep.db")).expect("storage opens"));
        Self::on_with_office(storage, office)
    }

    /// A server on this storage; makes a township if there is none.
    pub fn on(storage: Arc<dyn Storage>) -> Self {
        Self::on_with_office(storage, OfficeAccess::Open)
    }

    fn on_with_office(storage: Arc<dyn Storage>, office: OfficeAccess) -> Self {
        let committer = Committer::grouped(storage.clone()).expect("a thread");
        let service = Service::open(storage, Arc::new(SystemClock), Arc::new(SystemEntropy), committer).expect("opens");
        let (township, villages) = ensure_township(&service);
        let runtime = doorstep_server::cli::serve::runtime().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let app = App::new(service.clone(), office);
        runtime.spawn(app::run(app, listener, async move {
            let _ = stopped.await;
        }));
        Self { service, address, township, villages, runtime: Some(runtime), stop: Some(stop) }
    }

    /// Its address as phones use it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A runtime to start links and clients on.
    pub fn runtime(&self) -> &tokio::runtime::Runtime {
        self.runtime.as_ref().expect("running")
    }

    /// A one-time code for a new person who may read and write the whole township.
    pub fn code(&self, name: &str) -> String {
        code_for(&self.service, self.township, name)
    }

    /// A new person's phone in `dir`, enrolled over `url`.
    pub fn phone_at(&self, dir: &Path, name: &str, url: &str) -> Phone {
        let phone = open_phone(dir);
        phone.enrol(url, &self.code(name)).expect("enrols");
        phone
    }

    /// A phone in `dir` of a person whose rights are given elsewhere.
    pub fn phone_of(&self, dir: &Path, user: UserId) -> Phone {
        let code = self.service.invite(Actor::CommandLine, user, self.township).expect("invitation");
        let phone = open_phone(dir);
        phone.enrol(&self.url(), &code).expect("enrolled");
        phone
    }

    /// A new person's phone in `dir`.
    pub fn phone(&self, dir: &Path, name: &str) -> Phone {
        self.phone_at(dir, name, &self.url())
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Makes the test township once.
pub fn ensure_township(service: &Service) -> (TownshipId, [AreaId; 2]) {
    let storage = &*service.storage;
    if let Some(township) = storage.townships().expect("townships").first() {
        let (_, areas) = storage.areas(*township).expect("areas");
        let mut villages = areas.iter().filter(|a| a.level == "village").map(|a| a.area);
        return (*township, [villages.next().expect("a village"), villages.next().expect("a village")]);
    }
    let id = || AreaId(random(&SystemEntropy));
    let (township, villages) = (id(), [id(), id()]);
    let area = |area, parent, level: &str, zh: &str, en: &str| AreaEntry {
        area,
        parent,
        level: level.into(),
        code: String::new(),
        name_zh: zh.into(),
        name_en: en.into(),
    };
    let areas = [
        area(township, None, "township", "示例镇", "Example township"),
        area(villages[0], Some(township), "village", "青山村", "Qingshan"),
        area(villages[1], Some(township), "village", "石桥村", "Shiqiao"),
    ];
    storage.put_areas(township, &areas).expect("areas");
    (township, villages)
}

/// A one-time code for a new person of the township's office.
pub fn code_for(service: &Service, township: TownshipId, name: &str) -> String {
    let user = person(service, name);
    let grant = GrantEntry { grant: 0, role: "township_office".into(), area: township, subject: None, active: true };
    service.storage.append_grants(user, &[grant.into()]).expect("grants");
    service.invite(Actor::CommandLine, user, township).expect("invitation")
}

/// A new person without rights.
pub fn person(service: &Service, name: &str) -> UserId {
    let user = UserId(random(&SystemEntropy));
    service.storage.put_users(&[User { id: user, name: name.into(), unit: String::new() }]).expect("users");
    user
}

/// Opens a phone; nothing may have to be set aside.
pub fn open_phone(dir: &Path) -> Phone {
    let (phone, notices) = Phone::open(dir, Arc::new(SystemClock), Arc::new(SystemEntropy)).expect("the phone opens");
    assert!(notices.is_empty(), "nothing to salvage: {notices:?}");
    phone
}

/// Opens a phone whose clock stands at `now_ms`.
pub fn open_phone_at(dir: &Path, now_ms: u64) -> Phone {
    Phone::open(dir, Arc::new(ManualClock::at(now_ms)), Arc::new(SystemEntropy)).expect("the phone opens").0
}

/// Copies a folder's files into another one.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the folder is made");
    for file in std::fs::read_dir(from).expect("the folder is read") {
        let file = file.expect("an entry");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("the file is copied");
    }
}

/// One sync without retries; panics if it fails.
pub fn sync(phone: &Phone) -> SyncReport {
    try_sync(phone).expect("the sync succeeds")
}

/// One sync without retries.
pub fn try_sync(phone: &Phone) -> Result<SyncReport, doorstep_core::sync::SyncError> {
    let options = SyncOptions { tries: 0, ..SyncOptions::default() };
    phone.engine(options).expect("enrolled").sync(&Silent, &Cancel::default())
}

/// Adds a household without sync.
pub fn add_household(phone: &Phone, village: AreaId, number: &str, head: &str) -> RecordId {
    let draft = phone.start("household", None).expect("starts");
    for (key, value) in [("head_name", head), ("household_no", number), ("village", "青山村"), ("status", "out")] {
        phone.answer_text(draft, key, value).expect("fits");
    }
    phone.finish_as(draft, &NewRecord { area: Some(village), campaign: None }).expect("finishes")
}

/// Visits a household without sync.
pub fn visit(phone: &Phone, household: RecordId, remark: &str) -> RecordId {
    let draft = phone.start("visit", Some(household)).expect("starts");
    for (key, value) in [("visit_date", "2026-11-20"), ("result", "met"), ("remark", remark)] {
        phone.answer_text(draft, key, value).expect("fits");
    }
    phone.finish(draft).expect("finishes")
}

/// Changes answers of a record without sync.
pub fn edit(phone: &Phone, record: RecordId, answers: &[(&str, &str)]) {
    let draft = phone.edit(record).expect("opens");
    for (key, value) in answers {
        phone.answer_text(draft, key, value).expect("fits");
    }
    phone.finish(draft).expect("finishes");
}

/// A server in a process of its own.
pub struct ServerProcess {
    child: Child,
    /// Its address, from its first line.
    pub url: String,
    output: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl ServerProcess {
    /// Starts `serve` of this binary on a folder.
    pub fn start(binary: &str, data: &Path) -> Self {
        Self::start_with(binary, data, &[], "error")
    }

    /// Starts `serve` with more options and a log filter.
    pub fn start_with(binary: &str, data: &Path, options: &[&str], log: &str) -> Self {
        let mut child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--open-office", "--data"])
            .arg(data)
            .args(options)
            .env("DOORSTEP_LOG", log)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let output = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let line = lines.next().expect("a first line").expect("text");
        let url = line.rsplit(' ').next().expect("an address").to_owned();
        output.lock().expect("its output").push_str(&line);
        let log = BufReader::new(child.stderr.take().expect("its log")).lines();
        let readers = vec![collect(lines, output.clone()), collect(log, output.clone())];
        Self { child, url, output, readers }
    }

    /// Its address without a scheme.
    pub fn address(&self) -> SocketAddr {
        self.url.trim_start_matches("http://").parse().expect("an address")
    }

    /// Asks it to stop, as systemd does.
    pub fn terminate(&self) {
        let done = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill runs");
        assert!(done.success());
    }

    /// Waits until it has ended; gives its exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().expect("its end").code()
    }

    /// Kills it without warning.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Kills it and gives all that it wrote, on standard output and in its log.
    pub fn everything_said(&mut self) -> String {
        self.kill();
        for reader in self.readers.drain(..) {
            reader.join().expect("its output ends");
        }
        self.output.lock().expect("its output").clone()
    }

    /// A line of /proc/PID/status in KiB, such as `VmHWM`.
    pub fn memory_kib(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its status");
        let found = status.lines().find_map(|l| l.strip_prefix(line)).expect("the line");
        found.chars().filter(char::is_ascii_digit).collect::<String>().parse().expect("a number")
    }
}

/// Reads lines on a thread until there are no more.
fn collect(
    lines: impl Iterator<Item = std::io::Result<String>> + Send + 'static,
    into: Arc<Mutex<String>>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let mut all = into.lock().expect("no reader panics");
            all.push('\n');
            all.push_str(&line);
        }
    })
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
