//! `doorstep serve`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use data_encoding::BASE32_NOPAD;
use doorstep_core::clock::{Clock, Entropy, SystemClock, SystemEntropy, random};
use tokio::net::TcpListener;

use super::{DataOptions, Outcome};
use crate::api::office::OfficeAccess;
use crate::app::{self, App};
use crate::limits::Timeouts;
use crate::say;
use crate::service::{Committer, Service};
use crate::storage::{PostgresStorage, SqliteStorage, Storage, StorageError};

/// The setting that holds the SHA-256 of the office key.
const OFFICE_KEY: &str = "office_key_sha256";

/// Options of `serve`.
#[derive(Args)]
pub struct ServeArgs {
    #[command(flatten)]
    data: DataOptions,
    /// Address to listen on. Put a TLS proxy before it when phones come from outside.
    #[arg(long, env = "DOORSTEP_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Let anybody who reaches this machine's loopback address see pages and API; for invented data only.
    #[arg(long)]
    open_office: bool,
    /// Log lines as JSON.
    #[arg(long)]
    log_json: bool,
    #[command(flatten)]
    timeouts: Timeouts,
}

/// Opens the storage that the options name.
pub fn open_storage(options: &DataOptions) -> Result<Arc<dyn Storage>, StorageError> {
    match &options.database {
        Some(url) => Ok(Arc::new(PostgresStorage::connect(url)?)),
        None => Ok(Arc::new(SqliteStorage::open(&database_file(&options.data)?)?)),
    }
}

/// The folder's database file; makes the folder, for its owner only.
pub fn database_file(data: &Path) -> Result<std::path::PathBuf, StorageError> {
    let mut folder = std::fs::DirBuilder::new();
    folder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder.create(data).map_err(|e| StorageError::Other(Box::new(e)))?;
    Ok(data.join("doorstep.db"))
}

/// Opens a service that commits in groups.
pub fn open_service(options: &DataOptions) -> Result<Arc<Service>, Box<dyn std::error::Error + Send + Sync>> {
    let storage = open_storage(options)?;
    let committer = Committer::grouped(storage.clone())?;
    let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    Ok(Service::open(storage, clock, entropy, committer)?)
}

/// Starts the log: no answers, no names, only ids and codes.
pub fn start_log(json: bool, default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("DOORSTEP_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // a second start (tests, the demo's bench) keeps the first
    let _ = if json { builder.json().try_init() } else { builder.try_init() };
}

/// A runtime for the server: few threads, since the work is on bounded workers.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(crate::limits::WORKERS_MAX)
        .enable_all()
        .build()
}

/// Completes on Ctrl-C or SIGTERM.
pub async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            tokio::select! { _ = interrupt => (), _ = terminate.recv() => () }
            return;
        }
    }
    let _ = interrupt.await;
}

/// Runs the server.
pub fn serve(args: &ServeArgs) -> Outcome {
    start_log(args.log_json, "info");
    let service = open_service(&args.data)?;
    let office = office_access(args, &service)?;
    runtime()?.block_on(async {
        let listener = TcpListener::bind(args.listen).await?;
        say!("Doorstep listens on http://{}", listener.local_addr()?);
        if service.reads_closed()? {
            say!("Reading is closed after a restore: look through revoked phones, then run `doorstep reopen`.");
        }
        app::run(App::with_timeouts(service, office, args.timeouts), listener, stop_signal()).await;
        Ok(ExitCode::SUCCESS)
    })
}

/// The office key is made on first start and shown once; only its hash is kept.
fn office_access(
    args: &ServeArgs,
    service: &Service,
) -> Result<OfficeAccess, Box<dyn std::error::Error + Send + Sync>> {
    if args.open_office {
        if !args.listen.ip().is_loopback() {
            return Err("--open-office is only allowed on a loopback address".into());
        }
        return Ok(OfficeAccess::Open);
    }
    if let Some(hash) = service.storage.setting(OFFICE_KEY)? {
        let hash = data_encoding::HEXLOWER.decode(hash.as_bytes())?;
        let hash: [u8; 32] = hash.try_into().map_err(|_| "the stored office key is damaged")?;
        return Ok(OfficeAccess::Key(hash));
    }
    let secret: [u8; 15] = random(&*service.entropy);
    let key = BASE32_NOPAD.encode(&secret);
    let access = OfficeAccess::key(&key);
    if let OfficeAccess::Key(hash) = &access {
        service.storage.set_setting(OFFICE_KEY, &data_encoding::HEXLOWER.encode(hash))?;
    }
    say!("Office key (shown only now, opens the pages and the API): {key}");
    Ok(access)
}
