//! A TCP proxy that counts what crosses it and can be a slow, cutting link; for demo, bench and tests.
//!
//! It counts TCP payload (HTTP headers and framing in; TCP/IP headers and TLS not), connections and HTTP requests. As a slow
//! link it has one token bucket for each direction shared by all connections, half a round trip of delay each way, one
//! round trip before the first byte of a connection (the handshake), and at most 32 KiB in flight. These are the rules of
//! the peers' proxy in tests/benches/peers, so that both are measured alike.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep_until};

/// How the link behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinkOptions {
    /// Round trip time.
    pub rtt: Duration,
    /// Bits a second in each direction; 0 for no limit.
    pub bits_per_s: u64,
}

/// What crossed a link.
#[derive(Debug, Default)]
pub struct Counts {
    /// Bytes towards the server.
    pub up: AtomicU64,
    /// Bytes from the server.
    pub down: AtomicU64,
    /// HTTP requests.
    pub requests: AtomicU64,
    /// Connections.
    pub connections: AtomicU64,
    /// Bytes (both ways) after which connections are cut; negative: never.
    cut_after: AtomicI64,
}

impl Counts {
    /// Up, down, requests since the last call; starts again from zero.
    pub fn take(&self) -> (u64, u64, u64) {
        self.connections.store(0, Ordering::Relaxed);
        (
            self.up.swap(0, Ordering::Relaxed),
            self.down.swap(0, Ordering::Relaxed),
            self.requests.swap(0, Ordering::Relaxed),
        )
    }

    /// Cuts the connection once `bytes` more crossed; then the link works again.
    pub fn cut_after(&self, bytes: u32) {
        self.cut_after.store(i64::from(bytes), Ordering::Relaxed);
    }

    /// Counts bytes that arrive; gives how many of them still cross, fewer than all if the link is cut here.
    fn spend(&self, counter: &AtomicU64, bytes: usize) -> usize {
        let left = self.cut_after.load(Ordering::Relaxed);
        let crossing = if left < 0 { bytes } else { bytes.min(left as usize) };
        if left >= 0 {
            let after = if crossing < bytes { -1 } else { left - bytes as i64 };
            self.cut_after.store(after, Ordering::Relaxed);
        }
        counter.fetch_add(crossing as u64, Ordering::Relaxed);
        crossing
    }
}

/// A running link.
pub struct Link {
    /// Where to connect.
    pub address: SocketAddr,
    /// What crossed.
    pub counts: Arc<Counts>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One direction's bucket: when the next byte may leave.
type Bucket = Arc<Mutex<Instant>>;

impl Link {
    /// Starts a link to `target` on a free loopback port.
    pub async fn start(target: SocketAddr, options: LinkOptions) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Counts { cut_after: AtomicI64::new(-1), ..Counts::default() });
        let shared = counts.clone();
        let (up, down): (Bucket, Bucket) = (Arc::new(Mutex::new(Instant::now())), Arc::new(Mutex::new(Instant::now())));
        let task = tokio::spawn(async move {
            while let Ok((phone, _)) = listener.accept().await {
                let (counts, up, down) = (shared.clone(), up.clone(), down.clone());
                tokio::spawn(async move {
                    // a broken connection is what this link is for
                    let _ = carry(phone, target, options, counts, up, down).await;
                });
            }
        });
        Ok(Self { address, counts, task })
    }
}

async fn carry(
    phone: TcpStream,
    target: SocketAddr,
    options: LinkOptions,
    counts: Arc<Counts>,
    up: Bucket,
    down: Bucket,
) -> std::io::Result<()> {
    counts.connections.fetch_add(1, Ordering::Relaxed);
    let server = TcpStream::connect(target).await?;
    phone.set_nodelay(true)?;
    server.set_nodelay(true)?;
    if !options.rtt.is_zero() {
        tokio::time::sleep(options.rtt).await;
    }
    let ((phone_read, phone_write), (server_read, server_write)) = (phone.into_split(), server.into_split());
    let to_server = one_way(phone_read, server_write, options, counts.clone(), up, true);
    let to_phone = one_way(server_read, phone_write, options, counts, down, false);
    tokio::pin!(to_server, to_phone);
    // the phone's side may close first and still read; a cut on either side ends both
    tokio::select! {
        result = &mut to_server => {
            result?;
            to_phone.await
        }
        result = &mut to_phone => result,
    }
}

async fn one_way(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    options: LinkOptions,
    counts: Arc<Counts>,
    bucket: Bucket,
    is_up: bool,
) -> std::io::Result<()> {
    let cut = || std::io::Error::new(std::io::ErrorKind::ConnectionReset, "cut");
    let mut buffer = vec![0; 1400];
    if options.rtt.is_zero() && options.bits_per_s == 0 {
        buffer.resize(32 << 10, 0);
        loop {
            let n = from.read(&mut buffer).await?;
            if n == 0 {
                return to.shutdown().await;
            }
            let crossing = count(&counts, &buffer[..n], is_up);
            to.write_all(&buffer[..crossing]).await?;
            if crossing < n {
                return Err(cut());
            }
        }
    }
    let (queue, mut waiting) = mpsc::channel::<(Instant, Vec<u8>)>(24);
    let writer = async move {
        while let Some((due, part)) = waiting.recv().await {
            sleep_until(due).await;
            to.write_all(&part).await?;
        }
        Ok(to)
    };
    // what was on its way before a cut still arrives
    let reader = async move {
        loop {
            let n = from.read(&mut buffer).await?;
            let crossing = count(&counts, &buffer[..n], is_up);
            if n == 0 {
                return std::io::Result::Ok(false);
            }
            let due = {
                let mut free = bucket.lock().await;
                let start = (*free).max(Instant::now());
                let nanos = (n as u64 * 8 * 1_000_000_000).checked_div(options.bits_per_s).unwrap_or(0);
                *free = start + Duration::from_nanos(nanos);
                *free
            };
            let _ = queue.send((due + options.rtt / 2, buffer[..crossing].to_vec())).await;
            if crossing < n {
                return Ok(true);
            }
        }
    };
    let (was_cut, mut to): (bool, OwnedWriteHalf) = tokio::try_join!(reader, writer)?;
    if was_cut { Err(cut()) } else { to.shutdown().await }
}

/// Counts bytes and, upwards, the requests that start in them; gives how many of the bytes cross.
fn count(counts: &Counts, bytes: &[u8], is_up: bool) -> usize {
    if is_up {
        let starts = [b"POST /".as_slice(), b"GET /".as_slice()];
        let found = starts.iter().map(|s| bytes.windows(s.len()).filter(|w| w == s).count()).sum::<usize>();
        counts.requests.fetch_add(found as u64, Ordering::Relaxed);
        counts.spend(&counts.up, bytes.len())
    } else {
        counts.spend(&counts.down, bytes.len())
    }
}
