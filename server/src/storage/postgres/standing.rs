//! What an exchange reads at once; what doesn't build on each other goes out together.

use deadpool_postgres::GenericClient;
use std::sync::Arc;

use doorstep_core::id::{RecordId, UserId};
use doorstep_core::protocol::Position;

use super::super::rights::ROLES;
use super::super::standing::Caches;
use super::super::{
    Areas, Claims, MergeBase, PlanPull, PullPage, PushBase, PushQuery, READS_CLOSED, ReplyQuery, Result, Standing,
    TownshipId,
};
use super::{array, feed, forms, held, number, people, records, rights, rows, settings, uploads};

pub(super) async fn push_base(
    c: &impl GenericClient,
    tenant: &[u8],
    caches: &Caches<'_>,
    query: &PushQuery<'_>,
) -> Result<PushBase> {
    let (branch, merge, places, claims) = tokio::try_join!(
        uploads::branch(c, tenant, query.device, query.branch),
        merge_base(c, tenant, query.township, query.records),
        rights::places(c, tenant, query.township, query.subjects),
        claims(c, tenant, caches, query.township, query.user),
    )?;
    let mut base = PushBase { branch, taken: None, merge: MergeBase::default() };
    if query.number <= base.branch.last {
        base.taken = uploads::batch(c, tenant, query.device, query.branch, query.number).await?;
    } else if query.number == base.branch.last + 1 {
        base.merge = MergeBase { places, claims: Some(claims), ..merge };
    }
    Ok(base)
}

pub(super) async fn merge_base(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    ids: &[RecordId],
) -> Result<MergeBase> {
    let (records, waiting) =
        tokio::try_join!(records::load(c, tenant, township, ids), held::waiting(c, tenant, township, ids))?;
    Ok(MergeBase { records, waiting, ..MergeBase::default() })
}

/// What a user claims.
pub(super) async fn claims(
    c: &impl GenericClient,
    tenant: &[u8],
    caches: &Caches<'_>,
    township: TownshipId,
    user: UserId,
) -> Result<Claims> {
    let ((_, grants), version, roles) = tokio::try_join!(
        people::grants(c, tenant, user, 0),
        people::areas_version(c, tenant, township),
        settings::setting(c, tenant, ROLES),
    )?;
    let areas = areas(c, tenant, caches, township, version).await?;
    Ok(Claims { grants, areas, roles: caches.roles.of(roles) })
}

/// The areas, of which this is the version.
pub(super) async fn areas(
    c: &impl GenericClient,
    tenant: &[u8],
    caches: &Caches<'_>,
    township: TownshipId,
    version: u64,
) -> Result<Arc<Areas>> {
    match caches.areas.get(township, version) {
        Some(known) => Ok(known),
        None => Ok(caches.areas.put(township, rights::areas(c, tenant, township, version).await?)),
    }
}

pub(super) async fn begin_reply(
    c: &impl GenericClient,
    tenant: &[u8],
    caches: &Caches<'_>,
    query: &ReplyQuery<'_>,
    plan: PlanPull<'_>,
) -> Result<Option<PullPage>> {
    let last_batch = async {
        match query.branch {
            Some((device, n)) => Ok(uploads::branch(c, tenant, device, n).await?.last),
            None => Ok(0),
        }
    };
    let (closed, last_batch, head, on_chain, (_, grants), areas_version, forms_head, roles) = tokio::try_join!(
        settings::setting(c, tenant, READS_CLOSED),
        last_batch,
        feed::head(c, tenant, query.township),
        on_chain(c, tenant, query),
        people::grants(c, tenant, query.user, 0),
        people::areas_version(c, tenant, query.township),
        forms::head(c, tenant),
        settings::setting(c, tenant, ROLES),
    )?;
    let areas = areas(c, tenant, caches, query.township, areas_version).await?;
    let is_on_chain = |point: &Position| *point == Position::default() || on_chain.contains(point);
    let standing = Standing {
        reads_closed: closed.as_deref() == Some("1"),
        last_batch,
        head: head.0,
        common: query.points.iter().find(|p| is_on_chain(p)).copied(),
        told_on_chain: query.told.as_ref().is_none_or(is_on_chain),
        claims: Claims { grants, areas, roles: caches.roles.of(roles) },
        forms: forms::log_at(c, tenant, caches.forms, forms_head).await?,
    };
    match plan(standing) {
        Some(pull) => feed::first_page(c, tenant, &pull, head).await.map(Some),
        None => Ok(None),
    }
}

/// The chain at the points asked, as far as the feed goes.
async fn on_chain(c: &impl GenericClient, tenant: &[u8], query: &ReplyQuery<'_>) -> Result<Vec<Position>> {
    let asked = query.points.iter().chain(&query.told);
    let seqs: Vec<i64> = asked.filter_map(|p| i64::try_from(p.seq).ok()).filter(|seq| *seq > 0).collect();
    if seqs.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT seq, chain FROM change WHERE tenant = $1 AND township = $2 AND seq = ANY($3)";
    let found = rows(c, sql, &[&tenant, &query.township.0.as_slice(), &seqs]).await?;
    found.iter().map(|r| Ok(Position { seq: number(r, 0)?, chain: doorstep_core::id::Chain(array(r, 1)?) })).collect()
}
