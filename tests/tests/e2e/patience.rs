//! The server's patience with clients that keep it waiting.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use doorstep_core::clock::SeededEntropy;
use doorstep_core::protocol::Hello;
use doorstep_core::store::Enrolment;
use doorstep_core::sync::HttpTransport;
use doorstep_server::cli::DataOptions;
use doorstep_tests::harness::{ServerProcess, add_household, code_for, ensure_township, open_phone, sync, visit};
use ed25519_dalek::SigningKey;
use tempfile::TempDir;

/// Limits that end within the test; they differ so that each client meets its own.
const OPTIONS: [&str; 10] = [
    "--headers-ms",
    "1000",
    "--body-idle-ms",
    "700",
    "--body-whole-ms",
    "2000",
    "--request-ms",
    "1000",
    "--answer-idle-ms",
    "700",
];
/// Syncs of the honest phone within which everybody else must be cut.
const TURNS_MAX: u32 = 5_000;

/// A client that keeps the server waiting.
struct Slow {
    name: &'static str,
    stream: TcpStream,
    /// Sends a byte a turn.
    drips: bool,
    /// Reads what is answered.
    reads: bool,
    answer: Vec<u8>,
}

impl Slow {
    fn new(name: &'static str, server: SocketAddr, start: &[u8], drips: bool, reads: bool) -> Self {
        let mut stream = TcpStream::connect(server).unwrap();
        stream.write_all(start).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { name, stream, drips, reads, answer: Vec::new() }
    }

    /// One more step; true when the server has closed the connection.
    fn is_cut(&mut self) -> bool {
        if self.drips
            && let Err(error) = self.stream.write_all(b"a")
            && error.kind() != ErrorKind::WouldBlock
        {
            return true;
        }
        let mut buffer = [0; 1_024];
        while self.reads {
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(n) => self.answer.extend_from_slice(&buffer[..n]),
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
        false
    }
}

/// A signed hello of a phone that wants everything, as an HTTP request.
fn pull(enrolment: &Enrolment) -> Vec<u8> {
    let hello = Hello::first(enrolment.tenant, enrolment.device, 1);
    let body = hello.encode_signed(&SigningKey::from_bytes(&enrolment.signing_seed));
    let mut request = post("/sync", body.len());
    request.extend(body);
    request
}

fn post(path: &str, length: usize) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: township.invalid\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    head.into_bytes()
}

#[test]
fn clients_that_keep_the_server_waiting_are_cut_while_another_phone_goes_on() {
    let dirs: Vec<TempDir> = (0..3).map(|_| TempDir::new().unwrap()).collect();
    let options = DataOptions { data: dirs[0].path().to_owned(), database: None };
    let service = doorstep_server::cli::serve::open_service(&options).unwrap();
    let (township, villages) = ensure_township(&service);
    let codes = [code_for(&service, township, "甲"), code_for(&service, township, "乙")];
    drop(service);
    let server = ServerProcess::start_with(crate::BINARY, dirs[0].path(), &OPTIONS, "error");
    let honest = open_phone(dirs[1].path());
    honest.enrol(&server.url, &codes[0]).unwrap();
    let household = add_household(&honest, villages[0], "0001", "李四");
    let entropy = SeededEntropy::new(1);
    for _ in 0..250 {
        // more than the system's buffers take: an answer that nobody reads stands still
        let text: String = (0..5_000).map(|_| char::from_u32(0x4e00 + entropy.below(20_000) as u32).unwrap()).collect();
        visit(&honest, household, &text);
    }
    let connect_anew = || honest.use_transport(Arc::new(HttpTransport::new(&server.url).unwrap()));
    connect_anew();
    sync(&honest);
    let reader = open_phone(dirs[2].path()).enrol(&server.url, &codes[1]).unwrap();

    let at = server.address();
    let mut slow = vec![
        Slow::new("says nothing", at, b"", false, true),
        Slow::new("headers drop by drop", at, b"GET / HTTP/1.1\r\nx-", true, true),
        Slow::new("silent in an exchange", at, &post("/sync", 5_000), false, true),
        Slow::new(
            "an exchange drop by drop",
            at,
            &[post("/sync", 50_000), b"DOOR\x01\x90\x4e".to_vec()].concat(),
            true,
            true,
        ),
        Slow::new("an enrolment drop by drop", at, &post("/enrol", 9_000), true, true),
        Slow::new("never reads", at, &pull(&reader), true, false),
    ];
    let mut answers = Vec::new();
    for turn in 0.. {
        visit(&honest, household, &format!("第{turn}次"));
        connect_anew();
        assert_eq!(sync(&honest).changes_acknowledged, 1, "the honest phone goes on");
        slow.retain_mut(|client| {
            let is_cut = client.is_cut();
            if is_cut {
                answers.push((client.name, String::from_utf8_lossy(&client.answer).into_owned()));
            }
            !is_cut
        });
        if slow.is_empty() {
            break;
        }
        assert!(turn < TURNS_MAX, "still open: {:?}", slow.iter().map(|s| s.name).collect::<Vec<_>>());
    }
    for name in ["silent in an exchange", "an exchange drop by drop", "an enrolment drop by drop"] {
        let (_, answer) = answers.iter().find(|(n, _)| *n == name).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{name}: {answer:?}");
    }
}
