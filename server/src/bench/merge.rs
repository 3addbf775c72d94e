//! `doorstep bench merge`: the server's merge pipeline on one thread, beside plain SQLite inserts of the same JSON.
//!
//! A record goes through what an upload goes through: inflate, decode, signature, guard and merge, group commit on an
//! SQLite file with synchronous=FULL. The plain inserts go into a rowid table with a unique id, in transactions of as many
//! records.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use doorstep_core::clock::{Clock, SystemClock, SystemEntropy};
use doorstep_core::id::{RecordId, RecordIdMaker};
use doorstep_core::protocol::{Batch, RecordFrame, State, limits, stream};
use doorstep_core::record::{Edit, Record};
use ed25519_dalek::VerifyingKey;
use rusqlite::{Connection, params};

use super::Fault;
use super::author::Author;
use super::process::{Scratch, thread_cpu};
use super::report::Line;
use super::town::Town;
use super::workload::{Document, Workload};
use crate::cli::Outcome;
use crate::service::merge::Sender;
use crate::storage::{Committed, PreparedPush};

/// Options of `bench merge`.
#[derive(Args)]
pub struct MergeArgs {
    /// Records of each kind of change.
    #[arg(long, default_value_t = 10_000)]
    records: usize,
    /// Changes in a batch.
    #[arg(long, default_value_t = 50)]
    batch: usize,
    /// Batches in a group commit.
    #[arg(long, default_value_t = 8)]
    group: usize,
    /// JSON lines as for `bench sync`; the invented township if not given.
    #[arg(long)]
    workload: Option<PathBuf>,
    /// One JSON line a kind.
    #[arg(long)]
    json: bool,
    /// Where the scratch folder goes.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Where the thread's CPU time went.
#[derive(Default)]
struct Stages {
    decode: Duration,
    merge: Duration,
    commit: Duration,
}

struct Pipeline<'a> {
    town: &'a Town,
    plain: Connection,
    args: &'a MergeArgs,
}

/// What is measured of one kind of change.
struct Kind<'a> {
    name: &'a str,
    author: &'a Author,
    uploads: Vec<Vec<u8>>,
    /// Id and whole JSON of each record, for the plain inserts.
    rows: Vec<(RecordId, Cow<'a, str>)>,
}

/// Runs the bench.
pub fn merge(args: &MergeArgs) -> Outcome {
    let workload = match &args.workload {
        Some(path) => Workload::read(path)?,
        None => Workload::invent(args.records, args.records),
    };
    let scratch = Scratch::new(args.dir.as_deref())?;
    let town = Town::make(&scratch.path().join("server"), workload.villages, 0)?;
    let plain = plain_database(&scratch.path().join("plain.db"))?;
    let mut pipeline = Pipeline { town: &town, plain, args };
    let (mut first, mut second) = (town.author()?, town.author()?);
    let new = |documents: &[Document], author: &mut Author| -> Result<Vec<Made>, Fault> {
        let ids = RecordIdMaker::new(&SystemEntropy);
        documents.iter().cycle().take(args.records).map(|d| make(&town, author, ids.next_id(), d)).collect()
    };
    let mut visits = new(&workload.visits, &mut first)?;
    let rows = rows(&visits, &workload.visits);
    let uploads = pack(args, &mut first, visits.iter().map(|m| m.frame.clone()).collect())?;
    let line = pipeline.run(Kind { name: "new visits", author: &first, uploads, rows: rows.clone() }, false)?;
    line.at_least("records_per_s", 8_000.0).print(args.json);
    let remark = |n: usize| format!("已核实，第{n}户");
    let edited = visits
        .iter_mut()
        .enumerate()
        .map(|(n, m)| second.edit(&m.frame, &mut m.record, Edit::answer("remark", remark(n))))
        .collect::<Result<Vec<_>, _>>()?;
    drop(visits);
    // the whole document with another remark
    let rows =
        rows.into_iter().enumerate().map(|(n, (id, json))| (id, Cow::from(json.into_owned() + &remark(n)))).collect();
    let uploads = pack(args, &mut second, edited)?;
    let line = pipeline.run(Kind { name: "visit edits", author: &second, uploads, rows }, true)?;
    line.at_least("records_per_s", 5_000.0).print(args.json);
    let screenings = workload.screenings(args.records);
    for (name, documents) in [("new households", &workload.households), ("new screenings", &screenings)] {
        let made = new(documents, &mut first)?;
        let rows = self::rows(&made, documents);
        let uploads = pack(args, &mut first, made.into_iter().map(|m| m.frame).collect())?;
        pipeline.run(Kind { name, author: &first, uploads, rows }, false)?.print(args.json);
    }
    Ok(ExitCode::SUCCESS)
}

/// A new record.
struct Made {
    frame: RecordFrame,
    record: Record,
}

fn make(town: &Town, author: &Author, id: RecordId, document: &Document) -> Result<Made, Fault> {
    let (frame, record) = author.first_change(id, document, town.villages[document.village])?;
    Ok(Made { frame, record })
}

fn rows<'a>(made: &[Made], documents: &'a [Document]) -> Vec<(RecordId, Cow<'a, str>)> {
    made.iter().zip(documents.iter().cycle()).map(|(m, d)| (m.frame.id, Cow::from(d.json.as_str()))).collect()
}

/// Signed and compressed uploads.
fn pack(args: &MergeArgs, author: &mut Author, frames: Vec<RecordFrame>) -> Result<Vec<Vec<u8>>, Fault> {
    let parts = frames.chunks(args.batch.max(1));
    parts.map(|part| Ok(stream::compress(&author.sign(part.to_vec()).encode()?)?)).collect()
}

fn plain_database(path: &Path) -> Result<Connection, Fault> {
    let plain = Connection::open(path)?;
    plain.pragma_update(None, "journal_mode", "WAL")?;
    plain.pragma_update(None, "synchronous", "FULL")?;
    plain
        .execute_batch("CREATE TABLE document (no INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, json TEXT NOT NULL)")?;
    Ok(plain)
}

impl Pipeline<'_> {
    fn run(&mut self, kind: Kind<'_>, is_edit: bool) -> Result<Line, Fault> {
        let (mut stages, begin, cpu) = (Stages::default(), Instant::now(), thread_cpu()?);
        for group in kind.uploads.chunks(self.args.group.max(1)) {
            self.group(kind.author, group, &mut stages)?;
        }
        let (took, cpu) = (begin.elapsed(), thread_cpu()?.saturating_sub(cpu));
        let (plain, plain_cpu) = self.insert_plain(&kind.rows, is_edit)?;
        let records = kind.rows.len() as f64;
        let rate = |time: Duration| records / time.as_secs_f64();
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / records;
        let upload: usize = kind.uploads.iter().map(Vec::len).sum();
        Ok(Line::new(kind.name)
            .with("records", kind.rows.len())
            .with_tenths("wall_ms", took.as_secs_f64() * 1000.0)
            .with_tenths("records_per_s", rate(took))
            .with_tenths("records_per_cpu_s", rate(cpu))
            .with_tenths("decode_cpu_us", micros(stages.decode))
            .with_tenths("merge_cpu_us", micros(stages.merge))
            .with_tenths("commit_cpu_us", micros(stages.commit))
            .with_tenths("upload_bytes_per_record", upload as f64 / records)
            .with_tenths("plain_records_per_s", rate(plain))
            .with_tenths("plain_records_per_cpu_s", rate(plain_cpu))
            .with("ratio_to_plain", (rate(took) / rate(plain) * 1000.0).round() / 1000.0))
    }

    fn group(&self, author: &Author, uploads: &[Vec<u8>], stages: &mut Stages) -> Result<(), Fault> {
        let service = &self.town.service;
        let (storage, key) = (&*service.storage, VerifyingKey::from_bytes(&author.device.public_key)?);
        let mut pushes = Vec::with_capacity(uploads.len());
        for upload in uploads {
            let begin = thread_cpu()?;
            let inflated = stream::inflate(upload, limits::UPLOAD_INFLATED_MAX)?;
            let batch = Batch::decode(&inflated, &service.tenant_key())?;
            if !batch.is_signed_by(&key) {
                return Err("a signature of the bench is wrong".into());
            }
            let decoded = thread_cpu()?;
            stages.decode += decoded.saturating_sub(begin);
            let sender = Sender::Author { device: &author.device, branch: 0 };
            let merge = service.merge(sender, batch.header.number, SystemClock.now_ms())?;
            let push = merge.batch(&batch, batch.hash())?;
            check(&push)?;
            pushes.push(push);
            stages.merge += thread_cpu()?.saturating_sub(decoded);
        }
        let begin = thread_cpu()?;
        for answer in storage.commit_group(&pushes)? {
            if !matches!(answer?, Committed::Done(_)) {
                return Err("a push of the bench wasn't committed".into());
            }
        }
        stages.commit += thread_cpu()?.saturating_sub(begin);
        Ok(())
    }

    /// The same documents, whole, by plain inserts; edits replace the document.
    fn insert_plain(
        &mut self,
        rows: &[(RecordId, Cow<'_, str>)],
        is_edit: bool,
    ) -> Result<(Duration, Duration), Fault> {
        let sql = if is_edit {
            "UPDATE document SET json = ?2 WHERE id = ?1"
        } else {
            "INSERT INTO document (id, json) VALUES (?1, ?2)"
        };
        let (begin, cpu) = (Instant::now(), thread_cpu()?);
        for part in rows.chunks((self.args.batch * self.args.group).max(1)) {
            let transaction = self.plain.transaction()?;
            {
                let mut statement = transaction.prepare_cached(sql)?;
                for (id, json) in part {
                    statement.execute(params![id.0, json])?;
                }
            }
            transaction.commit()?;
        }
        Ok((begin.elapsed(), thread_cpu()?.saturating_sub(cpu)))
    }
}

/// Fails if a change of a push isn't stored.
pub(super) fn check(push: &PreparedPush) -> Result<(), Fault> {
    let outcomes = push.batch.iter().flat_map(|b| &b.outcomes);
    match outcomes.into_iter().find(|o| o.state != State::Stored) {
        Some(bad) => Err(format!("a change of the bench was refused: {:?} {}", bad.state, bad.reason).into()),
        None => Ok(()),
    }
}
