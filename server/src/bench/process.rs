//! The processes of a bench: a server, a worker with the phones; their CPU time and memory as the kernel counts them.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::Fault;
use super::worker::Ask;

/// Milliseconds in a tick of the kernel's accounting.
const TICK_MS: u64 = 10;

/// A process that ends with this value.
struct Process {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Process {
    fn start(args: &[&str], input: Stdio) -> Result<Self, Fault> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(args).stdin(input).stdout(Stdio::piped());
        command.env("DOORSTEP_LOG", std::env::var("DOORSTEP_LOG").unwrap_or_else(|_| "error".into()));
        let mut child = command.spawn()?;
        let out = BufReader::new(child.stdout.take().ok_or("no output")?);
        Ok(Self { child, out })
    }

    fn line(&mut self) -> Result<String, Fault> {
        let mut line = String::new();
        if self.out.read_line(&mut line)? == 0 {
            return Err("a process of the bench ended early".into());
        }
        Ok(line)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // its folder is scratch; an error means that it has ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server process.
pub struct Server {
    process: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts `doorstep serve` on a data folder.
    pub fn start(data: &Path) -> Result<Self, Fault> {
        let data = data.to_str().ok_or("the folder's name isn't text")?;
        let args = ["serve", "--data", data, "--listen", "127.0.0.1:0", "--open-office"];
        let mut process = Process::start(&args, Stdio::null())?;
        let line = process.line()?;
        let address = line.trim().rsplit("http://").next().unwrap_or_default().parse()?;
        Ok(Self { process, address })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }
}

/// The process with the phones.
pub struct Worker {
    process: Process,
    input: ChildStdin,
}

impl Worker {
    /// Starts it.
    pub fn start() -> Result<Self, Fault> {
        let mut process = Process::start(&["bench", "worker"], Stdio::piped())?;
        let input = process.child.stdin.take().ok_or("no input")?;
        Ok(Self { process, input })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Asks and waits for the answer.
    pub fn ask(&mut self, ask: &Ask) -> Result<Value, Fault> {
        writeln!(self.input, "{}", serde_json::to_string(ask)?)?;
        let answer: Value = serde_json::from_str(&self.process.line()?)?;
        match answer["error"].as_str() {
            Some(error) => Err(format!("the phones' process: {error}").into()),
            None => Ok(answer),
        }
    }
}

/// CPU time of a process so far in milliseconds, in steps of 10.
pub fn cpu_ms(pid: u32) -> Result<u64, Fault> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // the second field, the name, stands in brackets and may hold blanks
    let rest = stat.rsplit_once(')').ok_or("unexpected /proc/PID/stat")?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks =
        |index: usize| -> Result<u64, Fault> { Ok(fields.get(index).ok_or("unexpected /proc/PID/stat")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) * TICK_MS)
}

/// CPU time of this thread so far.
pub fn thread_cpu() -> Result<std::time::Duration, Fault> {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = line.split_whitespace().next().ok_or("unexpected /proc/thread-self/schedstat")?.parse()?;
    Ok(std::time::Duration::from_nanos(nanos))
}

/// Memory of a process in MB: at most so far, and now.
pub fn memory_mb(pid: u32) -> Result<(f64, f64), Fault> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = |name: &str| -> Result<f64, Fault> {
        let line = status.lines().find_map(|l| l.strip_prefix(name)).ok_or("unexpected /proc/PID/status")?;
        Ok(line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<f64>()?)
    };
    Ok((kib("VmHWM:")? / 1024.0, kib("VmRSS:")? / 1024.0))
}

/// A folder that goes away with this value.
pub struct Scratch(std::path::PathBuf);

impl Scratch {
    /// Makes one; in `parent`, or where the system keeps such folders.
    pub fn new(parent: Option<&Path>) -> Result<Self, Fault> {
        let tag: [u8; 6] = doorstep_core::clock::random(&doorstep_core::clock::SystemEntropy);
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let path = parent.join(format!("doorstep-bench-{}", data_encoding::HEXLOWER.encode(&tag)));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // what can't be removed stays in the system's scratch folder
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
