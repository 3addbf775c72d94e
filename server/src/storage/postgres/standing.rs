//! What an exchange reads at once; what doesn't build on each other goes out together.

use deadpool_postgres::GenericClient;
use doorstep_core::id::RecordId;
use doorstep_core::protocol::Position;

use super::super::forms::FormsCache;
use super::super::standing::AreasCache;
use super::super::{
    MergeBase, PlanPull, PullPage, PushBase, PushQuery, READS_CLOSED, ReplyQuery, Result, Standing, TownshipId,
};
use super::{array, feed, forms, held, number, people, records, rows, settings, uploads};

pub(super) async fn push_base(c: &impl GenericClient, tenant: &[u8], query: &PushQuery<'_>) -> Result<PushBase> {
    let (branch, merge) = tokio::try_join!(
        uploads::branch(c, tenant, query.device, query.branch),
        merge_base(c, tenant, query.township, query.records),
    )?;
    let mut base = PushBase { branch, taken: None, merge: MergeBase::default() };
    if query.number <= base.branch.last {
        base.taken = uploads::batch(c, tenant, query.device, query.branch, query.number).await?;
    } else if query.number == base.branch.last + 1 {
        base.merge = merge;
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
    Ok(MergeBase { records, waiting })
}

pub(super) async fn begin_reply(
    c: &impl GenericClient,
    tenant: &[u8],
    (cache, known_forms): (&AreasCache, &FormsCache),
    query: &ReplyQuery<'_>,
    plan: PlanPull<'_>,
) -> Result<Option<PullPage>> {
    let last_batch = async {
        match query.branch {
            Some((device, n)) => Ok(uploads::branch(c, tenant, device, n).await?.last),
            None => Ok(0),
        }
    };
    let (closed, last_batch, head, on_chain, (_, grants), areas_version, forms_head) = tokio::try_join!(
        settings::setting(c, tenant, READS_CLOSED),
        last_batch,
        feed::head(c, tenant, query.township),
        on_chain(c, tenant, query),
        people::grants(c, tenant, query.user, 0),
        people::areas_version(c, tenant, query.township),
        forms::head(c, tenant),
    )?;
    let areas = match cache.get(query.township, areas_version) {
        Some(known) => known,
        None => cache.put(query.township, areas_version, people::areas(c, tenant, query.township).await?.1),
    };
    let is_on_chain = |point: &Position| *point == Position::default() || on_chain.contains(point);
    let standing = Standing {
        reads_closed: closed.as_deref() == Some("1"),
        last_batch,
        head: head.0,
        common: query.points.iter().find(|p| is_on_chain(p)).copied(),
        told_on_chain: query.told.as_ref().is_none_or(is_on_chain),
        grants,
        areas_version,
        areas,
        forms: forms::log_at(c, tenant, known_forms, forms_head).await?,
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
