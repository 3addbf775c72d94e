//! The network between phones and server, and everything that may go wrong on it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use doorstep_core::fault::Crash;
use doorstep_core::protocol::{DecodeError, Hello};
use doorstep_core::sync::{Cancel, Reply, Transport, TransportError};
use doorstep_server::service::{Refused, ReplyStream, Service};
use doorstep_server::storage::StorageError;

use super::dice::Dice;
use super::outcome::{Counts, Failure, count, last_panic};
use super::server::Server;

/// Late requests that the network holds at most.
const LATE_MAX: usize = 6;

/// The network; phones hold it as their transport.
pub struct Network(Mutex<State>);

/// The network's inside.
pub struct State {
    /// The server at its end.
    pub server: Server,
    dice: Dice,
    /// Faults are injected.
    pub faulty: bool,
    /// How often each fault was injected.
    pub faults: Counts,
    /// Server crashes by point.
    pub crashes: Counts,
    /// Requests that are still under way though their phone has given up.
    late: Vec<Vec<u8>>,
    /// What broke an invariant while a phone was talking.
    pub broken: Option<Failure>,
    /// The last error that the server had no better word for.
    pub internal: Option<String>,
    /// Requests that reached the server.
    pub requests: u64,
}

#[derive(Clone, Copy)]
enum Fault {
    None,
    Unreachable,
    Busy,
    Late,
    CutRequest,
    Corrupt,
    LostReply,
    CutReply,
    Replay,
}

const FAULTS: [(u64, Fault); 9] = [
    (52, Fault::None),
    (4, Fault::Unreachable),
    (4, Fault::Busy),
    (5, Fault::Late),
    (9, Fault::CutRequest),
    (3, Fault::Corrupt),
    (8, Fault::LostReply),
    (10, Fault::CutReply),
    (5, Fault::Replay),
];

impl Network {
    /// A network with a server.
    pub fn new(server: Server, dice: Dice) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            server,
            dice,
            faulty: false,
            faults: Counts::new(),
            crashes: Counts::new(),
            late: Vec::new(),
            broken: None,
            internal: None,
            requests: 0,
        })))
    }

    /// Looks inside.
    pub fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A request's device and counter, as it claims.
fn claims(request: &[u8]) -> Option<(doorstep_core::id::DeviceId, u64)> {
    Hello::decode(request).ok().flatten().map(|s| (s.hello.device, s.hello.counter))
}

/// What the HTTP layer does with a request's body.
fn answer(service: &Arc<Service>, body: &[u8]) -> Result<ReplyStream, Refused> {
    let signed = Hello::decode(body)?.ok_or(DecodeError::Truncated)?;
    let rest = &body[signed.length..];
    let exchange = service.admit(signed)?;
    if rest.len() < exchange.upload_expected() {
        exchange.cut(rest)?;
        return Err(DecodeError::Truncated.into());
    }
    exchange.run(rest)
}

impl State {
    /// Runs something in the server's process; it may die of it.
    pub fn on_server<T>(
        &mut self,
        work: impl FnOnce(&Arc<Service>) -> Result<T, Refused>,
    ) -> Result<T, TransportError> {
        let Some(service) = self.server.service().cloned() else { return Err(TransportError::Unreachable) };
        match catch_unwind(AssertUnwindSafe(move || work(&service))) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(refused)) => Err(self.refusal(&refused)),
            Err(payload) => {
                match payload.downcast_ref::<Crash>() {
                    Some(Crash(point)) => count(&mut self.crashes, point, 1),
                    None => self.broken = Some(Failure::broken("panic", format!("the server: {}", last_panic()))),
                }
                count(&mut self.faults, "server crash", 1);
                self.server.stop();
                Err(TransportError::Cut)
            }
        }
    }

    /// A refusal as HTTP tells it.
    fn refusal(&mut self, refused: &Refused) -> TransportError {
        let (status, code, last_counter) = match refused {
            Refused::Unreadable(_) => (400, "unreadable", None),
            Refused::Upload(refusal) => (400, refusal.code(), None),
            Refused::WrongTenant => (403, "wrong_tenant", None),
            Refused::UnknownDevice => (401, "unknown_device", None),
            Refused::Revoked => (401, "revoked", None),
            Refused::Signature => (401, "signature", None),
            Refused::StaleCounter { last } => (409, "stale_counter", Some(*last)),
            Refused::InvitationUnknown => (403, "invitation_unknown", None),
            Refused::Busy | Refused::Storage(StorageError::Busy(_)) => (503, "busy", None),
            Refused::Storage(StorageError::Full) => {
                count(&mut self.faults, "server disk full", 1);
                (507, "storage_full", None)
            }
            Refused::Storage(error) => {
                self.internal = Some(Failure::unexpected(error).what);
                (500, "internal", None)
            }
            _ => (500, "internal", None),
        };
        TransportError::Refused { status, code: code.to_owned(), last_counter, retry_after_s: None }
    }

    /// A request arrives whole.
    fn arrive(&mut self, request: &[u8]) -> Result<ReplyStream, TransportError> {
        self.requests += 1;
        let stream = self.on_server(|service| answer(service, request))?;
        if let Some((device, counter)) = claims(request) {
            let seen = self.server.seen.entry(device).or_default();
            *seen = (*seen).max(counter);
        }
        Ok(stream)
    }

    /// A request arrives whole, nobody hears the reply.
    fn arrive_unheard(&mut self, request: &[u8]) {
        let Ok(mut stream) = self.arrive(request) else { return };
        // a phone that is gone reads a part; the server may have made more of it
        for _ in 0..self.dice.between(0, 4) {
            match self.on_server(|_| stream.next_chunk()) {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// A request comes again, or late. A process that has seen its counter must refuse it.
    fn again(&mut self, request: &[u8]) {
        let Some((device, counter)) = claims(request) else { return };
        let seen = self.server.seen.get(&device).copied();
        if self.server.service().is_some() && seen.is_some_and(|seen| seen >= counter) {
            if self.on_server(|service| answer(service, request).map(drop)).is_ok() {
                self.broken = Some(Failure::broken("I7", "a request that came twice was taken twice"));
            }
        } else {
            self.arrive_unheard(request);
        }
    }

    /// One of the late requests arrives, if there is one.
    pub fn deliver_late(&mut self) {
        if let Some(index) = self.dice.index(self.late.len()) {
            let request = self.late.remove(index);
            count(&mut self.faults, "late arrival", 1);
            self.again(&request);
        }
    }

    /// Late requests are lost.
    pub fn forget_late(&mut self) {
        self.late.clear();
    }

    fn cut_request(&mut self, request: &[u8]) {
        let at = self.dice.below(request.len() as u64) as usize;
        let part = &request[..at];
        // what HTTP does with a body that breaks off
        let _ = self.on_server(|service| {
            let Some(signed) = Hello::decode(part)? else { return Ok(()) };
            let rest = &part[signed.length..];
            service.admit(signed)?.cut(rest)
        });
        if let (Some((device, counter)), true) = (claims(part), self.server.service().is_some()) {
            let seen = self.server.seen.entry(device).or_default();
            *seen = (*seen).max(counter);
        }
    }

    fn corrupt(&mut self, request: &[u8]) {
        let mut bytes = request.to_vec();
        for _ in 0..self.dice.between(1, 3) {
            let at = self.dice.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << self.dice.below(8);
        }
        if bytes.as_slice() != request {
            self.arrive_unheard(&bytes);
        }
    }

    fn draw(&mut self) -> Fault {
        if !self.faulty {
            return Fault::None;
        }
        if self.dice.chance(15) {
            self.deliver_late();
        }
        self.dice.weighted(&FAULTS)
    }
}

impl Transport for Network {
    fn enrol_again(
        &self,
        shown: &doorstep_core::protocol::enrol::EnrolAgainBody,
        _cancel: &Cancel,
    ) -> Result<(), TransportError> {
        self.with(|s| s.on_server(|service| service.enrol_again(shown)))
    }

    fn exchange(&self, request: Vec<u8>, _cancel: &Cancel) -> Result<Box<dyn Reply + '_>, TransportError> {
        let (stream, cut_after) = self.with(|s| {
            let fault = s.draw();
            let mut note = |name: &str| count(&mut s.faults, name, 1);
            match fault {
                Fault::None => Ok((s.arrive(&request)?, None)),
                Fault::Unreachable => {
                    note("unreachable");
                    Err(TransportError::Unreachable)
                }
                Fault::Busy => {
                    note("busy");
                    Err(s.refusal(&Refused::Busy))
                }
                Fault::Late => {
                    note("late request");
                    if s.late.len() < LATE_MAX {
                        s.late.push(request);
                    }
                    Err(TransportError::Timeout)
                }
                Fault::CutRequest => {
                    note("cut request");
                    s.cut_request(&request);
                    Err(TransportError::Cut)
                }
                Fault::Corrupt => {
                    note("corrupt request");
                    s.corrupt(&request);
                    Err(TransportError::Cut)
                }
                Fault::LostReply => {
                    note("lost reply");
                    s.arrive_unheard(&request);
                    Err(TransportError::Cut)
                }
                Fault::CutReply => {
                    note("cut reply");
                    let short = s.dice.chance(50);
                    let at = s.dice.below(if short { 120 } else { 3_000 });
                    Ok((s.arrive(&request)?, Some(at as usize)))
                }
                Fault::Replay => {
                    note("replay");
                    let stream = s.arrive(&request)?;
                    s.again(&request);
                    Ok((stream, None))
                }
            }
        })?;
        Ok(Box::new(MemoryReply { network: self, stream: Some(stream), buffer: Vec::new(), cut_after }))
    }
}

struct MemoryReply<'a> {
    network: &'a Network,
    stream: Option<ReplyStream>,
    buffer: Vec<u8>,
    cut_after: Option<usize>,
}

impl Reply for MemoryReply<'_> {
    fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        if self.cut_after == Some(0) {
            self.stream = None;
            return Err(TransportError::Cut);
        }
        while self.buffer.is_empty() {
            let Some(mut stream) = self.stream.take() else { return Ok(None) };
            let chunk = self.network.with(|s| {
                if s.server.service().is_none() {
                    return Err(TransportError::Cut);
                }
                s.on_server(move |_| stream.next_chunk().map(|chunk| (chunk, stream)))
            })?;
            match chunk {
                (Some(bytes), stream) => {
                    self.buffer = bytes;
                    self.stream = Some(stream);
                }
                (None, _) => return Ok(None),
            }
        }
        let len = self.buffer.len();
        let (whole, piece) = self.network.with(|s| (s.dice.chance(60), s.dice.between(1, len as u64) as usize));
        let mut n = if whole { len } else { piece };
        if let Some(left) = &mut self.cut_after {
            n = n.min(*left);
            *left -= n;
        }
        Ok(Some(self.buffer.drain(..n).collect()))
    }
}
