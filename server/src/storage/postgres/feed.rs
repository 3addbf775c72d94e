//! The feed: head, chain, pages of a pull.

use std::collections::HashMap;

use deadpool_postgres::GenericClient;
use doorstep_core::form::Sensitivity;
use doorstep_core::id::{AreaId, Chain, ChangeHash, Incarnation, RecordId};
use doorstep_core::protocol::{Position, ScopeDigest};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::chain::{KIND_ERASED, KIND_MOVE};
use super::super::columns::{BadColumn, to_heads, to_identity};
use super::super::page::{CHANGED_MAX, PageBuilder, Placed, PullFilter, scopes_of_news};
use super::super::{Arrival, PullPage, PullQuery, PulledRecord, Reads, Result, Scope, StorageError, TownshipId};
use super::{Param, array, get, number, number32, optional, people, records, row, rows};

/// Changes that one page of the feed may have at most, and records one page of a fill.
const ROWS_MAX: i64 = 400;

pub(super) async fn head(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
) -> Result<(Position, ScopeDigest)> {
    let sql = "SELECT seq, chain, changes, digest_sum FROM feed WHERE tenant = $1 AND township = $2";
    let Some(r) = row(c, sql, &[&tenant, &township.0.as_slice()]).await? else { return Ok(Default::default()) };
    Ok((people::position(&r, 0)?, ScopeDigest { count: number(&r, 2)?, sum: number(&r, 3)? }))
}

pub(super) async fn is_on_chain(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    position: Position,
) -> Result<bool> {
    if position == Position::default() {
        return Ok(true);
    }
    let Ok(seq) = i64::try_from(position.seq) else { return Ok(false) };
    let sql = "SELECT chain FROM change WHERE tenant = $1 AND township = $2 AND seq = $3";
    let found = row(c, sql, &[&tenant, &township.0.as_slice(), &seq]).await?;
    Ok(found.map(|r| array(&r, 0)).transpose()? == Some(position.chain.0))
}

/// A statement's text and values while they are put together.
struct Statement {
    values: Vec<Box<dyn ToSql + Sync>>,
}

impl Statement {
    fn new(tenant: &[u8], township: TownshipId) -> Self {
        Self { values: vec![Box::new(tenant.to_vec()), Box::new(township.0.to_vec())] }
    }

    /// Adds a value; gives its mark.
    fn value(&mut self, value: impl ToSql + Sync + 'static) -> String {
        self.values.push(Box::new(value));
        format!("${}", self.values.len())
    }

    /// The condition that the record `r` is in a scope.
    fn covers(&mut self, scope: &Scope) -> String {
        let (reaches, reads) = (self.reaches(scope), self.reads(&scope.reads));
        format!("({reaches} AND {reads})")
    }

    /// The condition that the type of the record `r` is read.
    fn reads(&mut self, reads: &Reads) -> String {
        let Reads::By(role) = reads else { return "TRUE".to_owned() };
        let mut parts = vec!["FALSE".to_owned()];
        for readable in role.readable() {
            let (ends, base) = match readable.class {
                Sensitivity::Core => ("position('.' IN r.type) = 0".to_owned(), "r.type".to_owned()),
                class => {
                    let ending = format!(".{}", class.as_str());
                    let base = format!("left(r.type, -{})", ending.len());
                    (format!("right(r.type, {}) = {}", ending.len(), self.value(ending)), base)
                }
            };
            let named = self.value(readable.named);
            let others = match readable.others_but {
                Some(but) => format!("{base} <> ALL({})", self.value(but)),
                None => "FALSE".to_owned(),
            };
            parts.push(format!("({ends} AND ({base} = ANY({named}) OR {others}))"));
        }
        format!("({})", parts.join(" OR "))
    }

    /// The condition that the record `r` lies in a scope, whatever its type; one that lies nowhere is in none.
    fn reaches(&mut self, scope: &Scope) -> String {
        let nowhere = self.value(AreaId::NOWHERE.0.to_vec());
        if scope.whole {
            return format!("r.area <> {nowhere}");
        }
        let mut parts = vec!["FALSE".to_owned()];
        if !scope.areas.is_empty() {
            let areas = self.value(scope.areas.iter().map(|a| a.0.to_vec()).collect::<Vec<_>>());
            parts.push(format!("r.area = ANY({areas})"));
        }
        parts.extend(self.about(&scope.subjects));
        format!("(r.area <> {nowhere} AND ({}))", parts.join(" OR "))
    }

    /// The condition that the record `r` is one of these or about one; `None` without any.
    fn about(&mut self, subjects: &[RecordId]) -> Option<String> {
        if subjects.is_empty() {
            return None;
        }
        let subjects = self.value(subjects.iter().map(|s| s.0.to_vec()).collect::<Vec<_>>());
        Some(format!("r.id = ANY({subjects}) OR r.subject = ANY({subjects})"))
    }

    /// The condition that news of the record `r` come by the feed: a complete grant covers it, or a fill that passed it.
    fn by_feed(&mut self, query: &PullQuery) -> String {
        let mut parts = vec!["FALSE".to_owned()];
        parts.extend(query.complete.iter().map(|scope| self.covers(scope)));
        for (_, scope, after) in &query.fills {
            let (after, covers) = (self.value(signed(*after)), self.covers(scope));
            parts.push(format!("(r.born <= {after} AND {covers})"));
        }
        format!("({})", parts.join(" OR "))
    }

    /// The condition that the record `r` left the scopes after a point of the feed: one of their areas, or the township.
    fn left(&mut self, query: &PullQuery, after: &str) -> String {
        let scopes = || query.complete.iter().chain(query.fills.iter().map(|(_, scope, _)| scope));
        let areas: Vec<Vec<u8>> = scopes().flat_map(|scope| &scope.areas).map(|a| a.0.to_vec()).collect();
        let subjects: Vec<RecordId> = scopes().flat_map(|scope| &scope.subjects).copied().collect();
        let moved = format!(
            "SELECT 1 FROM placement p WHERE p.tenant = $1 AND p.township = $2 AND p.record = r.id AND p.seq > {after}"
        );
        let mut parts = vec!["FALSE".to_owned()];
        if !areas.is_empty() {
            let areas = self.value(areas);
            parts.push(format!("EXISTS ({moved} AND p.area = ANY({areas}))"));
        }
        if let Some(about) = self.about(&subjects) {
            parts.push(format!("(({about}) AND EXISTS ({moved}))"));
        }
        format!("({})", parts.join(" OR "))
    }

    async fn rows(&self, c: &impl GenericClient, sql: &str) -> Result<Vec<Row>> {
        let params: Vec<Param<'_>> = self.values.iter().map(|v| &**v).collect();
        rows(c, sql, &params).await
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

const PULLED_COLUMNS: &str = "r.id, r.area, r.subject, r.type, r.key, r.incarnation, r.heads, r.born";

/// A record without its changes, from column `first` on.
fn pulled(r: &Row, first: usize) -> Result<PulledRecord> {
    Ok(PulledRecord {
        arrival: Arrival::Known,
        id: RecordId(array(r, first)?),
        area: AreaId(array(r, first + 1)?),
        subject: optional(r, first + 2)?.map(RecordId),
        identity: to_identity(get(r, first + 3)?, get(r, first + 4)?),
        incarnation: number32(r, first + 5)?,
        heads: to_heads(get(r, first + 6)?),
        born: number(r, first + 7)?,
        changes: Vec::new(),
    })
}

pub(super) async fn pull_page(c: &impl GenericClient, tenant: &[u8], query: &PullQuery) -> Result<PullPage> {
    let (head, changed) = tokio::try_join!(head(c, tenant, query.township), changed_records(c, tenant, query, None))?;
    page(c, tenant, query, head, changed).await
}

/// A page in the snapshot that the head was read in.
pub(super) async fn first_page(
    c: &impl GenericClient,
    tenant: &[u8],
    query: &PullQuery,
    head: (Position, ScopeDigest),
) -> Result<PullPage> {
    let changed = changed_records(c, tenant, query, Some(head.0.seq)).await?;
    page(c, tenant, query, head, changed).await
}

async fn page(
    c: &impl GenericClient,
    tenant: &[u8],
    query: &PullQuery,
    (head, digest): (Position, ScopeDigest),
    changed: Option<Vec<Vec<u8>>>,
) -> Result<PullPage> {
    let (feed, feed_upto, bytes) = match changed {
        // nothing in scope is new
        Some(changed) if changed.is_empty() => (Vec::new(), head, 0),
        changed => read_feed(c, tenant, query, head, changed).await?,
    };
    let mut page = PullPage { head, digest, feed, feed_upto, fill: Vec::new(), fill_grant: None, fill_complete: false };
    // a page that news filled leaves the fill to the next one
    if let (Some((grant, scope, after)), true) = (query.fills.first(), page.feed_upto == page.head) {
        let room = query.bytes_max.saturating_sub(bytes);
        if room > 0 || page.feed.is_empty() {
            (page.fill, page.fill_complete) = read_fill(c, tenant, query.township, scope, *after, room).await?;
            page.fill_grant = Some(*grant);
        }
    }
    Ok(page)
}

/// The records whose news come by the feed, as far as they are few; otherwise, and where all is in scope, the feed is walked.
async fn changed_records(
    c: &impl GenericClient,
    tenant: &[u8],
    query: &PullQuery,
    head_seq: Option<u64>,
) -> Result<Option<Vec<Vec<u8>>>> {
    if head_seq.is_some_and(|seq| seq <= query.after) {
        return Ok(Some(Vec::new()));
    }
    if scopes_of_news(query).is_none() {
        return Ok(None);
    }
    let mut statement = Statement::new(tenant, query.township);
    let (after, by_feed) = (statement.value(signed(query.after)), statement.by_feed(query));
    let left = statement.left(query, &after);
    let limit = CHANGED_MAX + 1;
    let sql = format!(
        "SELECT r.id FROM record r WHERE r.tenant = $1 AND r.township = $2 AND r.last > {after}
         AND ({by_feed} OR {left}) LIMIT {limit}"
    );
    let found = statement.rows(c, &sql).await?;
    if found.len() > CHANGED_MAX {
        return Ok(None);
    }
    found.iter().map(|r| get(r, 0)).collect::<Result<_>>().map(Some)
}

async fn read_feed(
    c: &impl GenericClient,
    tenant: &[u8],
    query: &PullQuery,
    head: Position,
    changed: Option<Vec<Vec<u8>>>,
) -> Result<(Vec<PulledRecord>, Position, usize)> {
    let mut statement = Statement::new(tenant, query.township);
    let (after, last) = (statement.value(signed(query.after)), statement.value(signed(head.seq)));
    let in_scope = match changed {
        Some(changed) => format!("c.record = ANY({})", statement.value(changed)),
        None => format!("(c.kind = 2 OR {})", statement.by_feed(query)),
    };
    let bytes_max = statement.value(query.bytes_max as i64);
    // the inner limit bounds what is read, the outer condition what is sent
    let sql = format!(
        "SELECT * FROM (
            SELECT f.*, sum(length(f.bytes)) OVER (ORDER BY f.seq) - length(f.bytes) AS before, count(*) OVER () AS found
            FROM (
                SELECT c.seq, c.hash, c.device, c.received_ms, c.bytes, c.chain, {PULLED_COLUMNS}, c.kind, r.bytes AS whole
                FROM change c JOIN record r ON r.tenant = c.tenant AND r.township = c.township AND r.id = c.record
                WHERE c.tenant = $1 AND c.township = $2 AND c.seq > {after} AND c.seq <= {last} AND {in_scope}
                ORDER BY c.seq LIMIT {ROWS_MAX}
            ) f
        ) p WHERE before < greatest({bytes_max}::BIGINT, 1) ORDER BY seq"
    );
    let found = statement.rows(c, &sql).await?;
    let mut page = PageBuilder::default();
    let mut upto = head;
    let filter = PullFilter::new(query);
    let mut full = None;
    for (at, r) in found.iter().enumerate() {
        add(&mut page, &filter, r)?;
        // records that came into the scope come whole
        if page.bytes >= query.bytes_max && at + 1 < found.len() {
            full = Some(Position { seq: number(r, 0)?, chain: Chain(array(r, 5)?) });
            break;
        }
    }
    if let Some(position) = full {
        upto = position;
    } else if let Some(r) = found.last() {
        let all = number(r, 17)?;
        if all >= ROWS_MAX as u64 || all > found.len() as u64 {
            upto = Position { seq: number(r, 0)?, chain: Chain(array(r, 5)?) };
        }
    }
    let entered = page.entered();
    let mut changes = match entered.as_slice() {
        [] => HashMap::new(),
        entered => records::changes(c, tenant, query.township, entered).await?,
    };
    let (found, bytes) = page.finish(|record| Ok::<_, StorageError>(changes.remove(&record.id).unwrap_or_default()))?;
    Ok((found, upto, bytes))
}

/// Adds what an entry of the feed means for the device: a change, or a move.
fn add(page: &mut PageBuilder, filter: &PullFilter, r: &Row) -> Result<()> {
    let born = number(r, 13)?;
    let at = Placed {
        id: RecordId(array(r, 6)?),
        area: AreaId(array(r, 7)?),
        subject: optional(r, 8)?.map(RecordId),
        record_type: get(r, 9)?,
    };
    let kind = get::<i64>(r, 14)?;
    if kind == i64::from(KIND_ERASED) {
        return Ok(());
    }
    if kind == i64::from(KIND_MOVE) {
        let from = get::<&[u8]>(r, 4)?.get(..16).and_then(AreaId::from_slice);
        let arrival = filter.after_move(&at, from.ok_or(BadColumn("move"))?, born);
        let bytes = number(r, 15)? as usize;
        return arrival.map_or(Ok(()), |arrival| page.moved(at.id, (arrival, bytes), || pulled(r, 6)));
    }
    if filter.by_feed(&at, born) {
        page.add(at.id, records::change(r, 0)?, || pulled(r, 6))?;
    }
    Ok(())
}

async fn read_fill(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    scope: &Scope,
    after: u64,
    room: usize,
) -> Result<(Vec<PulledRecord>, bool)> {
    let mut statement = Statement::new(tenant, township);
    let (after, covers) = (statement.value(signed(after)), statement.covers(scope));
    let sql = format!(
        "SELECT {PULLED_COLUMNS}, r.bytes FROM record r
         WHERE r.tenant = $1 AND r.township = $2 AND r.born > {after} AND {covers} ORDER BY r.born LIMIT {ROWS_MAX}"
    );
    let found = statement.rows(c, &sql).await?;
    let mut fill: Vec<PulledRecord> = Vec::new();
    let mut bytes = 0;
    for r in &found {
        if bytes >= room && !fill.is_empty() {
            break;
        }
        fill.push(pulled(r, 0)?);
        bytes += number(r, 8)? as usize;
    }
    let complete = fill.len() == found.len() && (found.len() as i64) < ROWS_MAX;
    let wanted: Vec<RecordId> = fill.iter().map(|record| record.id).collect();
    if !wanted.is_empty() {
        let mut changes = records::changes(c, tenant, township, &wanted).await?;
        for record in &mut fill {
            record.changes = changes.remove(&record.id).unwrap_or_default();
        }
    }
    Ok((fill, complete))
}

pub(super) async fn pull_cost(c: &impl GenericClient, tenant: &[u8], query: &PullQuery) -> Result<(u64, u64)> {
    let mut statement = Statement::new(tenant, query.township);
    let (after, by_feed) = (statement.value(signed(query.after)), statement.by_feed(query));
    let sql = format!(
        "SELECT count(*), coalesce(sum(length(c.bytes)), 0)::BIGINT
         FROM change c JOIN record r ON r.tenant = c.tenant AND r.township = c.township AND r.id = c.record
         WHERE c.tenant = $1 AND c.township = $2 AND c.seq > {after} AND c.kind = 1 AND {by_feed}"
    );
    let mut cost = sum(&statement.rows(c, &sql).await?)?;
    for (_, scope, after) in &query.fills {
        let mut statement = Statement::new(tenant, query.township);
        let (after, covers) = (statement.value(signed(*after)), statement.covers(scope));
        let sql = format!(
            "SELECT coalesce(sum(r.changes), 0)::BIGINT, coalesce(sum(r.bytes), 0)::BIGINT FROM record r
             WHERE r.tenant = $1 AND r.township = $2 AND r.born > {after} AND {covers}"
        );
        let more = sum(&statement.rows(c, &sql).await?)?;
        cost = (cost.0 + more.0, cost.1 + more.1);
    }
    Ok(cost)
}

fn sum(rows: &[Row]) -> Result<(u64, u64)> {
    rows.first().map_or(Ok((0, 0)), |r| Ok::<_, StorageError>((number(r, 0)?, number(r, 1)?)))
}

pub(super) async fn change_list(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    after: u64,
    limit: u32,
) -> Result<Vec<(u64, RecordId, Incarnation, ChangeHash)>> {
    let sql = "SELECT c.seq, r.id, r.incarnation, c.hash
        FROM change c JOIN record r ON r.tenant = c.tenant AND r.township = c.township AND r.id = c.record
        WHERE c.tenant = $1 AND c.township = $2 AND c.seq > $3 AND c.kind = 1 ORDER BY c.seq LIMIT $4";
    let found = rows(c, sql, &[&tenant, &township.0.as_slice(), &signed(after), &i64::from(limit)]).await?;
    let read = |r: &Row| Ok((number(r, 0)?, RecordId(array(r, 1)?), number32(r, 2)?, ChangeHash(array(r, 3)?)));
    found.iter().map(read).collect()
}
