//! Storage on PostgreSQL 15 or later, for several server nodes. Plain SQL that also suits Citus.
//!
//! The trait blocks, so a storage owns a small runtime and waits on it: never call it from an async context.
//! Locks are taken in one order everywhere: records by township and id, then feeds by township. What still collides is
//! tried again in one place.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use deadpool_postgres::{Client, GenericClient, Pool, PoolError, Transaction};
use doorstep_core::clock::Millis;
use doorstep_core::id::{AreaId, ChangeHash, DeviceId, Incarnation, RecordId, UserId};
use doorstep_core::protocol::{AreaEntry, Position, ScopeDigest};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, ToSql, WrongType};
use tokio_postgres::{IsolationLevel, Row};

use super::areas::AreasCache;
use super::chain::Links;
use super::columns::BadColumn;
use super::forms::FormsCache;
use super::rights::RolesCache;
use super::standing::Caches;
use super::{
    BatchRow, BranchState, Committed, Device, DoubtFilter, DoubtRow, DoubtTotal, EntryOf, FormLogEntry, Grant,
    HeldChange, MergeBase, PlanPull, PreparedPush, PullPage, PullQuery, PushBase, PushQuery, RecordFilter, RecordRow,
    Refreshed, RefusedLimits, RefusedUpload, RefusedUploadRow, ReplyQuery, Result, Secrets, Storage, StorageError,
    StoredRecord, SyncNote, TownshipId, User,
};

mod about;
mod acts;
mod audit;
mod away;
mod commit;
mod connect;
mod devices;
mod doubts;
mod erasure;
mod events;
mod feed;
mod figures;
mod forms;
mod held;
mod links;
mod lists;
mod migrate;
mod people;
mod plan;
mod planned;
mod records;
mod refused;
mod register;
mod rights;
mod settings;
mod standing;
mod uploads;

/// How often a transaction that collided is tried.
const TRIES: usize = 3;

/// A server's PostgreSQL database.
pub struct PostgresStorage {
    /// `None` only while it is dropped.
    runtime: Option<tokio::runtime::Runtime>,
    pool: Pool,
    tenant: OnceLock<Tenant>,
    areas: AreasCache,
    forms: FormsCache,
    roles: RolesCache,
}

/// Whose rows a storage reads and writes.
struct Tenant {
    id: [u8; 16],
    links: Links,
}

impl std::fmt::Debug for PostgresStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgresStorage { .. }")
    }
}

impl Drop for PostgresStorage {
    fn drop(&mut self) {
        // waiting for it would panic where the last handle goes in an async context
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Another node changed the same rows in a way that only shows when they are written.
#[derive(Debug, thiserror::Error)]
#[error("another server wrote the same rows")]
struct Raced;

impl PostgresStorage {
    /// Connects and brings the schema up to date. The address is a `postgres://` URL; `sslmode` and `sslrootcert` are understood.
    pub fn connect(url: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("postgres")
            .enable_all()
            .build()
            .map_err(other)?;
        let pool = connect::pool(url)?;
        let secrets = runtime.block_on(async {
            let mut client = pool.get().await?;
            migrate::migrate(&mut client).await?;
            settings::secrets(&client).await
        })?;
        let storage = Self {
            runtime: Some(runtime),
            pool,
            tenant: OnceLock::new(),
            areas: AreasCache::default(),
            forms: FormsCache::default(),
            roles: RolesCache::default(),
        };
        secrets.inspect(|secrets| storage.know(secrets));
        Ok(storage)
    }

    fn know(&self, secrets: &Secrets) {
        self.tenant.get_or_init(|| Tenant { id: secrets.tenant.0, links: Links::new(&secrets.chain_key) });
    }

    fn caches(&self) -> Caches<'_> {
        Caches { areas: &self.areas, forms: &self.forms, roles: &self.roles }
    }

    fn tenant(&self) -> Result<&Tenant> {
        self.tenant.get().ok_or_else(|| other("the tenant's secrets were never made"))
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match &self.runtime {
            Some(runtime) => runtime.block_on(work),
            None => Err(StorageError::Busy("the storage is closing".into())),
        }
    }

    /// One reading statement.
    fn ask<T>(&self, work: impl AsyncFnOnce(&Client, &[u8]) -> Result<T>) -> Result<T> {
        let tenant = self.tenant()?;
        self.wait(async { work(&self.pool.get().await?, &tenant.id).await })
    }

    /// Several reading statements of one snapshot.
    fn read<T>(&self, work: impl AsyncFnOnce(&Transaction<'_>, &[u8]) -> Result<T>) -> Result<T> {
        let tenant = self.tenant()?;
        self.wait(async {
            let mut client = self.pool.get().await?;
            let snapshot = client
                .build_transaction()
                .isolation_level(IsolationLevel::RepeatableRead)
                .read_only(true)
                .start()
                .await?;
            let value = work(&snapshot, &tenant.id).await?;
            snapshot.commit().await?;
            Ok(value)
        })
    }

    /// One durable transaction, tried again where it collides.
    fn write<T>(&self, work: impl AsyncFn(&Transaction<'_>, &Tenant) -> Result<T>) -> Result<T> {
        let tenant = self.tenant()?;
        self.wait(async {
            let mut tries = 0;
            loop {
                tries += 1;
                match self.try_write(tenant, &work).await {
                    Err(error) if tries < TRIES && collided(&error) => {}
                    done => return done,
                }
            }
        })
    }

    async fn try_write<T>(
        &self,
        tenant: &Tenant,
        work: &impl AsyncFn(&Transaction<'_>, &Tenant) -> Result<T>,
    ) -> Result<T> {
        let mut client = self.pool.get().await?;
        let tx = client.transaction().await?;
        let value = work(&tx, tenant).await?;
        tx.commit().await?;
        Ok(value)
    }
}

fn collided(error: &StorageError) -> bool {
    let StorageError::Busy(source) = error else { return false };
    let code = source.downcast_ref::<tokio_postgres::Error>().and_then(|e| e.code());
    source.is::<Raced>()
        || code.is_some_and(|c| [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(c))
}

fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StorageError {
    StorageError::Other(error.into())
}

impl From<tokio_postgres::Error> for StorageError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(code) = error.code() else {
            // no answer of the server: the connection failed, unless a value didn't fit its statement
            let mistake = std::error::Error::source(&error).is_some_and(|s| s.is::<WrongType>());
            return if mistake { Self::Other(Box::new(error)) } else { Self::Busy(Box::new(error)) };
        };
        match code.code().get(..2) {
            _ if *code == SqlState::DISK_FULL => Self::Full,
            // connections, collisions, resources, locks, operators who stop the server
            Some("08" | "40" | "53" | "55" | "57") => Self::Busy(Box::new(error)),
            Some("XX") => Self::Damaged(Box::new(error)),
            _ => Self::Other(Box::new(error)),
        }
    }
}

impl From<PoolError> for StorageError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            error => Self::Busy(Box::new(error)),
        }
    }
}

type Param<'a> = &'a (dyn ToSql + Sync);

/// Rows of a prepared statement.
async fn rows(c: &impl GenericClient, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>> {
    Ok(c.query(&c.prepare_cached(sql).await?, params).await?)
}

/// The first row, if there is one.
async fn row(c: &impl GenericClient, sql: &str, params: &[Param<'_>]) -> Result<Option<Row>> {
    Ok(c.query_opt(&c.prepare_cached(sql).await?, params).await?)
}

/// Runs a prepared statement; gives how many rows it touched.
async fn run(c: &impl GenericClient, sql: &str, params: &[Param<'_>]) -> Result<u64> {
    Ok(c.execute(&c.prepare_cached(sql).await?, params).await?)
}

fn get<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T> {
    Ok(row.try_get(at).map_err(|_| BadColumn("column"))?)
}

fn number(row: &Row, at: usize) -> Result<u64> {
    Ok(get::<i64>(row, at)?.cast_unsigned())
}

fn number32(row: &Row, at: usize) -> Result<u32> {
    Ok(u32::try_from(get::<i64>(row, at)?).map_err(|_| BadColumn("number"))?)
}

fn array<const N: usize>(row: &Row, at: usize) -> Result<[u8; N]> {
    Ok(get::<&[u8]>(row, at)?.try_into().map_err(|_| BadColumn("id"))?)
}

fn optional<const N: usize>(row: &Row, at: usize) -> Result<Option<[u8; N]>> {
    get::<Option<&[u8]>>(row, at)?.map(|b| b.try_into().map_err(|_| BadColumn("id").into())).transpose()
}

impl Storage for PostgresStorage {
    fn secrets(&self, fresh: &Secrets) -> Result<Secrets> {
        let secrets = self.wait(async {
            let mut client = self.pool.get().await?;
            settings::secrets_or(&mut client, fresh).await
        })?;
        self.know(&secrets);
        Ok(secrets)
    }

    fn setting(&self, name: &str) -> Result<Option<String>> {
        self.ask(async |c, t| settings::setting(c, t, name).await)
    }

    fn set_setting(&self, name: &str, value: &str) -> Result<()> {
        self.write(async |tx, t| settings::set_setting(tx, &t.id, name, value).await)
    }

    fn put_areas(&self, township: TownshipId, areas: &[AreaEntry]) -> Result<u64> {
        self.write(async |tx, t| people::put_areas(tx, &t.id, township, areas).await)
    }

    fn townships(&self) -> Result<Vec<TownshipId>> {
        self.ask(async |c, t| people::townships(c, t).await)
    }

    fn form_log(&self) -> Result<Arc<[FormLogEntry]>> {
        self.read(async |c, t| forms::log(c, t, &self.forms).await)
    }

    fn put_users(&self, users: &[User]) -> Result<()> {
        self.write(async |tx, t| people::put_users(tx, &t.id, users).await)
    }

    fn users(&self) -> Result<Vec<User>> {
        self.ask(async |c, t| people::users(c, t).await)
    }

    fn append_grants(&self, user: UserId, entries: &[Grant]) -> Result<Position> {
        self.write(async |tx, t| people::append_grants(tx, t, user, entries).await)
    }

    fn grants(&self, user: UserId, after: u64) -> Result<(Position, Vec<(Position, Grant)>)> {
        self.read(async |c, t| people::grants(c, t, user, after).await)
    }

    fn redeem_invitation(
        &self,
        secret_hash: [u8; 32],
        device: &Device,
        now_ms: Millis,
        enrolled: EntryOf<'_, Device>,
    ) -> Result<Option<Device>> {
        self.write(async |tx, t| {
            let found = people::redeem_invitation(tx, &t.id, secret_hash, device, now_ms).await?;
            if let Some(made) = found.as_ref().filter(|found| found.id == device.id) {
                audit::append(tx, t, &[enrolled(made)]).await?;
            }
            Ok(found)
        })
    }

    fn put_device(&self, device: &Device) -> Result<()> {
        self.write(async |tx, t| people::put_device(tx, &t.id, device).await)
    }

    fn device(&self, device: DeviceId) -> Result<Option<Device>> {
        self.ask(async |c, t| people::device(c, t, device).await)
    }

    fn devices(&self, township: TownshipId) -> Result<Vec<Device>> {
        self.ask(async |c, t| people::devices(c, t, township).await)
    }

    fn stage_upload(&self, device: DeviceId, digest: [u8; 32], bytes: &[u8], now_ms: Millis) -> Result<()> {
        self.write(async |tx, t| uploads::stage(tx, &t.id, device, digest, bytes, now_ms).await)
    }

    fn staged_upload(&self, device: DeviceId, digest: [u8; 32]) -> Result<Option<Vec<u8>>> {
        self.ask(async |c, t| uploads::staged(c, t, device, digest).await)
    }

    fn drop_upload(&self, device: DeviceId) -> Result<()> {
        self.write(async |tx, t| uploads::drop_one(tx, &t.id, device).await)
    }

    fn drop_uploads_before(&self, before_ms: Millis) -> Result<u64> {
        self.write(async |tx, t| uploads::drop_before(tx, &t.id, before_ms).await)
    }

    fn keep_refused_upload(&self, upload: &RefusedUpload<'_>, limits: &RefusedLimits) -> Result<()> {
        self.write(async |tx, t| refused::keep(tx, &t.id, upload, limits).await)
    }

    fn refused_uploads(&self, township: TownshipId, before: Option<u64>, limit: u32) -> Result<Vec<RefusedUploadRow>> {
        self.ask(async |c, t| refused::list(c, t, township, before, limit).await)
    }

    fn refused_upload_bytes(&self, township: TownshipId, no: u64) -> Result<Option<Vec<u8>>> {
        self.ask(async |c, t| refused::bytes(c, t, township, no).await)
    }

    fn branch(&self, device: DeviceId, branch: u32) -> Result<BranchState> {
        self.ask(async |c, t| uploads::branch(c, t, device, branch).await)
    }

    fn batch(&self, device: DeviceId, branch: u32, number: u64) -> Result<Option<BatchRow>> {
        self.ask(async |c, t| uploads::batch(c, t, device, branch, number).await)
    }

    fn push_base(&self, query: &PushQuery<'_>) -> Result<PushBase> {
        self.read(async |c, t| standing::push_base(c, t, &self.caches(), query).await)
    }

    fn merge_base(&self, township: TownshipId, ids: &[RecordId]) -> Result<MergeBase> {
        self.read(async |c, t| standing::merge_base(c, t, township, ids).await)
    }

    fn load_records(&self, township: TownshipId, ids: &[RecordId]) -> Result<Vec<Option<StoredRecord>>> {
        self.read(async |c, t| records::load(c, t, township, ids).await)
    }

    fn waiting(&self, township: TownshipId, records: &[RecordId]) -> Result<Vec<(DeviceId, HeldChange)>> {
        self.ask(async |c, t| held::waiting(c, t, township, records).await)
    }

    fn waiting_of(&self, device: DeviceId) -> Result<(u64, u64)> {
        self.ask(async |c, t| held::held_of(c, t, ("waiting", ""), device).await)
    }

    fn quarantined_of(&self, device: DeviceId) -> Result<(u64, u64)> {
        self.ask(async |c, t| held::held_of(c, t, ("quarantine", "AND decision = 0"), device).await)
    }

    fn quarantined(&self, township: TownshipId, record: RecordId, hashes: &[ChangeHash]) -> Result<Vec<ChangeHash>> {
        self.ask(async |c, t| held::quarantined(c, t, township, record, hashes).await)
    }

    fn commit(&self, pushes: &[PreparedPush], notes: &[SyncNote]) -> Result<Vec<Result<Committed>>> {
        if pushes.is_empty() {
            self.write(async |tx, t| {
                // need not be durable at once
                tx.batch_execute("SET LOCAL synchronous_commit = off").await?;
                people::note_syncs(tx, &t.id, notes).await
            })?;
            return Ok(Vec::new());
        }
        let group = async |tx: &Transaction<'_>, t: &Tenant| {
            people::note_syncs(tx, &t.id, notes).await?;
            commit::group(tx, t, pushes).await
        };
        match self.write(group) {
            Ok(answers) => Ok(answers.into_iter().map(Ok).collect()),
            Err(StorageError::Other(error)) if pushes.len() == 1 => Ok(vec![Err(StorageError::Other(error))]),
            // one push is refused by the database: find it by committing each alone
            Err(StorageError::Other(_)) => pushes
                .iter()
                .map(|push| Ok(self.commit_group(std::slice::from_ref(push))?.pop().unwrap_or(Err(other("no answer")))))
                .collect(),
            Err(error) => Err(error),
        }
    }

    fn head(&self, township: TownshipId) -> Result<(Position, ScopeDigest)> {
        self.ask(async |c, t| feed::head(c, t, township).await)
    }

    fn is_on_chain(&self, township: TownshipId, position: Position) -> Result<bool> {
        self.ask(async |c, t| feed::is_on_chain(c, t, township, position).await)
    }

    fn begin_reply(&self, query: &ReplyQuery<'_>, plan: PlanPull<'_>) -> Result<Option<PullPage>> {
        self.read(async |c, t| standing::begin_reply(c, t, &self.caches(), query, plan).await)
    }

    fn pull_page(&self, query: &PullQuery) -> Result<PullPage> {
        self.read(async |c, t| feed::pull_page(c, t, query).await)
    }

    fn pull_cost(&self, query: &PullQuery) -> Result<(u64, u64)> {
        self.read(async |c, t| feed::pull_cost(c, t, query).await)
    }

    fn list_records(&self, township: TownshipId, filter: &RecordFilter) -> Result<Vec<RecordRow>> {
        self.ask(async |c, t| records::list(c, t, township, filter).await)
    }

    fn record_row(&self, township: TownshipId, record: RecordId) -> Result<Option<RecordRow>> {
        self.ask(async |c, t| records::row_of(c, t, township, record).await)
    }

    fn full_record(&self, township: TownshipId, record: RecordId) -> Result<Option<StoredRecord>> {
        self.read(async |c, t| records::full(c, t, township, record).await)
    }

    fn refresh(&self, township: TownshipId, records: &[Refreshed], now_ms: Millis) -> Result<usize> {
        self.write(async |tx, t| doubts::refresh(tx, &t.id, township, records, now_ms).await)
    }

    fn doubts(&self, township: TownshipId, filter: &DoubtFilter) -> Result<Vec<DoubtRow>> {
        self.ask(async |c, t| doubts::list(c, t, township, filter).await)
    }

    fn doubt_totals(&self, township: TownshipId, area: Option<AreaId>) -> Result<Vec<DoubtTotal>> {
        self.ask(async |c, t| doubts::totals(c, t, township, area).await)
    }

    fn change_list(
        &self,
        township: TownshipId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, RecordId, Incarnation, ChangeHash)>> {
        self.ask(async |c, t| feed::change_list(c, t, township, after, limit).await)
    }

    fn backup(&self, _to: &Path) -> Result<()> {
        Err(other("PostgreSQL has tools of its own for this: pg_basebackup, or pg_dump --format=custom"))
    }

    fn ping(&self) -> Result<()> {
        self.set_setting("ping", "1")
    }
}
