//! A server that is told to stop while phones talk to it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use doorstep_core::client::Phone;
use doorstep_core::clock::SeededEntropy;
use doorstep_core::id::AreaId;
use doorstep_core::store::ListFilter;
use doorstep_core::sync::{Cancel, HttpTransport, Progress, Silent, SyncError, SyncOptions, SyncReport};
use doorstep_server::cli::DataOptions;
use doorstep_tests::harness::{ServerProcess, add_household, code_for, ensure_township, open_phone, sync, visit};
use tempfile::TempDir;

/// Visits that are pulled.
const VISITS: u64 = 500;
/// Signs in the text of a visit that is pulled: all together more than the 4 MB that the system's socket buffers may hold.
const LONG: usize = 8_000;
/// Signs in the text of a visit that is pushed.
const SHORT: usize = 2_000;

/// Text without repetition, from a counter.
fn dense_text(n: u64, signs: usize) -> String {
    let entropy = SeededEntropy::new(n);
    (0..signs).map(|_| char::from_u32(0x4e00 + entropy.below(20_000) as u32).unwrap()).collect()
}

/// A server folder with a township, and codes for phones.
fn township(data: &Path) -> (AreaId, [String; 3]) {
    let options = DataOptions { data: data.to_owned(), database: None };
    let service = doorstep_server::cli::serve::open_service(&options).unwrap();
    let (township, villages) = ensure_township(&service);
    (villages[0], ["甲", "乙", "丙"].map(|name| code_for(&service, township, name)))
}

fn enrolled(dir: &Path, url: &str, code: &str) -> Phone {
    let phone = open_phone(dir);
    phone.enrol(url, code).unwrap();
    phone
}

fn visits(phone: &Phone) -> usize {
    phone.list(ListFilter { record_type: Some("visit".into()), limit: 10_000, ..Default::default() }).unwrap().len()
}

/// Holds a sync at the first records that arrive, until told to go on.
struct Gate {
    arrived: Mutex<Sender<()>>,
    go_on: Mutex<Option<Receiver<()>>>,
}

impl Gate {
    fn new() -> (Self, Receiver<()>, Sender<()>) {
        let ((arrived, under_way), (go, go_on)) = (channel(), channel());
        (Self { arrived: Mutex::new(arrived), go_on: Mutex::new(Some(go_on)) }, under_way, go)
    }
}

impl Progress for Gate {
    fn progressed(&self, report: &SyncReport) {
        if report.records_received == 0 {
            return;
        }
        if let Some(go_on) = self.go_on.lock().unwrap().take() {
            self.arrived.lock().unwrap().send(()).unwrap();
            // the other end may be gone: then there is nothing to wait for
            let _ = go_on.recv();
        }
    }
}

type Synced = (Phone, Result<(), SyncError>, SyncReport);

/// Syncs on a thread, once.
fn sync_apart(phone: Phone, progress: impl Progress + 'static) -> JoinHandle<Synced> {
    std::thread::spawn(move || {
        let mut report = SyncReport::default();
        let options = SyncOptions { tries: 0, ..SyncOptions::default() };
        let done = phone.engine(options).unwrap().sync_into(&mut report, &progress, &Cancel::default());
        (phone, done, report)
    })
}

/// A way to the server that holds the request after `first` bytes until told to go on.
fn holding_way(server: SocketAddr, first: usize) -> (SocketAddr, Receiver<()>, Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let ((arrived, under_way), (go, go_on)) = (channel(), channel());
    std::thread::spawn(move || {
        let (mut phone, _) = listener.accept().unwrap();
        let mut to_server = TcpStream::connect(server).unwrap();
        let (mut from_server, mut to_phone) = (to_server.try_clone().unwrap(), phone.try_clone().unwrap());
        std::thread::spawn(move || {
            // either side may end first
            let _ = std::io::copy(&mut from_server, &mut to_phone);
            let _ = to_phone.shutdown(Shutdown::Both);
        });
        let mut start = vec![0; first];
        phone.read_exact(&mut start).unwrap();
        to_server.write_all(&start).unwrap();
        arrived.send(()).unwrap();
        let _ = go_on.recv();
        let _ = std::io::copy(&mut phone, &mut to_server);
    });
    (address, under_way, go)
}

/// Waits until nobody new gets in: the server has taken the signal.
fn wait_for_closed_doors(address: SocketAddr) {
    while TcpStream::connect(address).is_ok() {
        std::thread::yield_now();
    }
}

#[test]
fn a_stopping_server_finishes_the_push_and_the_pull_under_way_and_lets_nobody_new_in() {
    let dirs: Vec<TempDir> = (0..4).map(|_| TempDir::new().unwrap()).collect();
    let (village, codes) = township(dirs[0].path());
    let mut server = ServerProcess::start(crate::BINARY, dirs[0].path());
    let writer = enrolled(dirs[1].path(), &server.url, &codes[0]);
    let pusher = enrolled(dirs[2].path(), &server.url, &codes[1]);
    let puller = enrolled(dirs[3].path(), &server.url, &codes[2]);
    let household = add_household(&writer, village, "0001", "李四");
    sync(&writer);
    sync(&pusher);
    for n in 0..VISITS {
        visit(&writer, household, &dense_text(n, LONG));
    }
    sync(&writer);

    let (gate, pull_under_way, finish_pull) = Gate::new();
    let pulling = sync_apart(puller, gate);
    pull_under_way.recv().unwrap();
    for n in 0..100 {
        visit(&pusher, household, &dense_text(VISITS + n, SHORT));
    }
    let (way, push_under_way, finish_push) = holding_way(server.address(), 10_000);
    pusher.use_transport(Arc::new(HttpTransport::new(&format!("http://{way}")).unwrap()));
    let pushing = sync_apart(pusher, Silent);
    push_under_way.recv().unwrap();

    server.terminate();
    wait_for_closed_doors(server.address());
    finish_push.send(()).unwrap();
    finish_pull.send(()).unwrap();
    let (pusher, _, pushed) = pushing.join().unwrap();
    assert_eq!(pushed.changes_acknowledged, 100, "the push ended whole");
    let (puller, _, pulled) = pulling.join().unwrap();
    assert!(pulled.changes_received > VISITS, "the pull went on: {}", pulled.changes_received);
    assert_eq!(server.exit_code(), Some(0));

    let server = ServerProcess::start(crate::BINARY, dirs[0].path());
    for phone in [&pusher, &puller, &writer] {
        phone.use_transport(Arc::new(HttpTransport::new(&server.url).unwrap()));
        sync(phone);
        assert_eq!(visits(phone) as u64, VISITS + 100, "what was acknowledged is stored");
    }
}

#[test]
fn a_pull_that_outlasts_the_stop_is_cut_and_resumed_by_the_phone() {
    let dirs: Vec<TempDir> = (0..3).map(|_| TempDir::new().unwrap()).collect();
    let (village, codes) = township(dirs[0].path());
    let mut server = ServerProcess::start_with(crate::BINARY, dirs[0].path(), &["--drain-ms", "50"], "error");
    let writer = enrolled(dirs[1].path(), &server.url, &codes[0]);
    let puller = enrolled(dirs[2].path(), &server.url, &codes[1]);
    let household = add_household(&writer, village, "0001", "李四");
    for n in 0..VISITS {
        visit(&writer, household, &dense_text(n, LONG));
    }
    sync(&writer);

    let (gate, under_way, go_on) = Gate::new();
    let pulling = sync_apart(puller, gate);
    under_way.recv().unwrap();
    server.terminate();
    assert_eq!(server.exit_code(), Some(0), "a phone that doesn't read can't hold the server");
    go_on.send(()).unwrap();
    let (puller, cut, first) = pulling.join().unwrap();
    assert!(matches!(&cut, Err(SyncError::Transport(error)) if error.is_temporary()), "{cut:?}");

    let server = ServerProcess::start(crate::BINARY, dirs[0].path());
    puller.use_transport(Arc::new(HttpTransport::new(&server.url).unwrap()));
    let rest = sync(&puller);
    assert_eq!(visits(&puller) as u64, VISITS);
    assert_eq!(first.changes_received + rest.changes_received, VISITS + 1, "what had arrived didn't come again");
}
