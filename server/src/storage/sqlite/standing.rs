//! What an exchange reads at once.

use doorstep_core::id::RecordId;
use doorstep_core::protocol::Position;
use rusqlite::Connection;

use super::super::forms::FormsCache;
use super::super::standing::AreasCache;
use super::super::{
    MergeBase, PlanPull, PullPage, PushBase, PushQuery, READS_CLOSED, ReplyQuery, Result, Standing, TownshipId,
};
use super::feed::{self, Head};
use super::{forms, held, people, records, settings, uploads};

pub(super) fn push_base(c: &Connection, query: &PushQuery<'_>) -> Result<PushBase> {
    let branch = uploads::branch(c, query.device, query.branch)?;
    let (mut taken, mut merge) = (None, MergeBase::default());
    if query.number <= branch.last {
        taken = uploads::batch(c, query.device, query.branch, query.number)?;
    } else if query.number == branch.last + 1 {
        merge = merge_base(c, query.township, query.records)?;
    }
    Ok(PushBase { branch, taken, merge })
}

pub(super) fn merge_base(c: &Connection, township: TownshipId, ids: &[RecordId]) -> Result<MergeBase> {
    Ok(MergeBase { records: records::load(c, township, ids)?, waiting: held::waiting(c, township, ids)? })
}

pub(super) fn begin_reply(
    c: &Connection,
    cache: (&AreasCache, &FormsCache),
    query: &ReplyQuery<'_>,
    plan: PlanPull<'_>,
) -> Result<Option<PullPage>> {
    let head = feed::read_head(c, query.township)?;
    let standing = standing(c, cache, query, head.as_ref())?;
    plan(standing).map(|pull| feed::page(c, head.as_ref(), &pull)).transpose()
}

fn standing(
    c: &Connection,
    (cache, known_forms): (&AreasCache, &FormsCache),
    query: &ReplyQuery<'_>,
    head: Option<&Head>,
) -> Result<Standing> {
    let on_chain = |point: Position| feed::on_chain(c, head, point);
    let mut common = None;
    for point in query.points {
        if on_chain(*point)? {
            common = Some(*point);
            break;
        }
    }
    let areas_version = head.map_or(0, |h| h.areas_version);
    let areas = match cache.get(query.township, areas_version) {
        Some(known) => known,
        None => cache.put(query.township, areas_version, people::areas(c, query.township)?.1),
    };
    Ok(Standing {
        reads_closed: settings::setting(c, READS_CLOSED)?.as_deref() == Some("1"),
        last_batch: query.branch.map_or(Ok(0), |(device, n)| uploads::branch(c, device, n).map(|b| b.last))?,
        head: head.map(|h| h.position).unwrap_or_default(),
        common,
        told_on_chain: query.told.map_or(Ok(true), on_chain)?,
        grants: people::grants(c, query.user, 0)?.1,
        areas_version,
        areas,
        forms: forms::log(c, known_forms)?,
    })
}
