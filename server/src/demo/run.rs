//! `doorstep demo`: a server, the invented township, a campaign week by real phones, a report, and the pages.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use doorstep_core::clock::{SystemClock, SystemEntropy, random};
use tokio::net::TcpListener;

use super::campaign::{Campaign, Terminal};
use super::township::Township;
use super::{register, report};
use crate::api::office::OfficeAccess;
use crate::app::{self, App};
use crate::cli::Outcome;
use crate::cli::serve::{database_file, runtime, start_log, stop_signal};
use crate::say;
use crate::service::audit::Actor;
use crate::service::{Committer, Service};
use crate::storage::{SqliteStorage, Storage};

/// Options of `demo`.
#[derive(Args)]
pub struct DemoArgs {
    /// Where the server's and the phones' data go; a fresh folder if nothing is said.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Address of the pages.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// End after printing.
    #[arg(long)]
    exit: bool,
    /// Print a summary as the last line, one JSON object.
    #[arg(long)]
    json: bool,
    /// Seed of the invented township and week.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the demo.
pub fn demo(args: &DemoArgs) -> Outcome {
    start_log(false, "error");
    let data = data_folder(args.data.as_deref())?;
    say!("data: {}", data.display());
    let storage: Arc<dyn Storage> = Arc::new(SqliteStorage::open(&database_file(&data)?)?);
    if !storage.townships()?.is_empty() {
        return Err("the folder holds a township already; name a fresh one".into());
    }
    let committer = Committer::grouped(storage.clone())?;
    let service = Service::open(storage, Arc::new(SystemClock), Arc::new(SystemEntropy), committer)?;
    let mut township = Township::invent(args.seed);
    let runtime = runtime()?;
    let listener = runtime.block_on(bind(args.listen))?;
    let address = listener.local_addr()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let app = App::new(service.clone(), OfficeAccess::Open);
    let server = runtime.spawn(app::run(app, listener, async move {
        let _ = stopped.await;
    }));
    let rows_faulty = register::open(&service, &mut township)?;
    let terminal = Terminal::new();
    let week = Campaign::new(&service, &township, &data, address, &runtime, args.seed)?.run(&terminal)?;
    terminal.finish();
    let mut summary = report::report(&service, &township, week)?;
    summary["register_rows_faulty"] = rows_faulty.into();
    if args.json {
        say!("{summary}");
    }
    if !args.exit {
        let code = service.invite(Actor::CommandLine, township.helpers[0].user, township.area)?;
        say!("\npages: http://{address}/   (Ctrl-C ends)");
        say!("a phone of your own: doorstep phone --data my-phone init --server http://{address} --code {code}");
        runtime.block_on(stop_signal());
    }
    let _ = stop.send(());
    runtime.block_on(server)?;
    Ok(ExitCode::SUCCESS)
}

/// The wanted address; any free port of the same host where the wanted one is taken.
async fn bind(wanted: SocketAddr) -> std::io::Result<TcpListener> {
    match TcpListener::bind(wanted).await {
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => TcpListener::bind((wanted.ip(), 0)).await,
        result => result,
    }
}

fn data_folder(named: Option<&Path>) -> std::io::Result<PathBuf> {
    let folder = match named {
        Some(folder) => folder.to_owned(),
        None => {
            let tag: [u8; 4] = random(&SystemEntropy);
            std::env::temp_dir().join(format!("doorstep-demo-{}", data_encoding::HEXLOWER.encode(&tag)))
        }
    };
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
