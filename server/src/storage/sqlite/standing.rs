//! What an exchange reads at once.

use doorstep_core::id::{RecordId, UserId};
use doorstep_core::protocol::Position;
use rusqlite::Connection;
use std::sync::Arc;

use super::super::rights::ROLES;
use super::super::standing::Caches;
use super::super::{
    Areas, Claims, MergeBase, PlanPull, PullPage, PushBase, PushQuery, READS_CLOSED, ReplyQuery, Result, Standing,
    TownshipId,
};
use super::feed::{self, Head};
use super::{forms, held, people, records, rights, settings, uploads};

pub(super) fn push_base(c: &Connection, caches: &Caches<'_>, query: &PushQuery<'_>) -> Result<PushBase> {
    let branch = uploads::branch(c, query.device, query.branch)?;
    let (mut taken, mut merge) = (None, MergeBase::default());
    if query.number <= branch.last {
        taken = uploads::batch(c, query.device, query.branch, query.number)?;
    } else if query.number == branch.last + 1 {
        merge = merge_base(c, query.township, query.records)?;
        merge.places = rights::places(c, query.township, query.subjects)?;
        let version = feed::read_head(c, query.township)?.map_or(0, |head| head.areas_version);
        merge.claims = Some(claims(c, caches, query.township, version, query.user)?);
    }
    Ok(PushBase { branch, taken, merge })
}

pub(super) fn merge_base(c: &Connection, township: TownshipId, ids: &[RecordId]) -> Result<MergeBase> {
    let (records, waiting) = (records::load(c, township, ids)?, held::waiting(c, township, ids)?);
    Ok(MergeBase { records, waiting, ..MergeBase::default() })
}

pub(super) fn begin_reply(
    c: &Connection,
    caches: &Caches<'_>,
    query: &ReplyQuery<'_>,
    plan: PlanPull<'_>,
) -> Result<Option<PullPage>> {
    let head = feed::read_head(c, query.township)?;
    let standing = standing(c, caches, query, head.as_ref())?;
    plan(standing).map(|pull| feed::page(c, head.as_ref(), &pull)).transpose()
}

fn standing(c: &Connection, caches: &Caches<'_>, query: &ReplyQuery<'_>, head: Option<&Head>) -> Result<Standing> {
    let on_chain = |point: Position| feed::on_chain(c, head, point);
    let mut common = None;
    for point in query.points {
        if on_chain(*point)? {
            common = Some(*point);
            break;
        }
    }
    let areas_version = head.map_or(0, |h| h.areas_version);
    Ok(Standing {
        reads_closed: settings::setting(c, READS_CLOSED)?.as_deref() == Some("1"),
        last_batch: query.branch.map_or(Ok(0), |(device, n)| uploads::branch(c, device, n).map(|b| b.last))?,
        head: head.map(|h| h.position).unwrap_or_default(),
        common,
        told_on_chain: query.told.map_or(Ok(true), on_chain)?,
        claims: claims(c, caches, query.township, areas_version, query.user)?,
        forms: forms::log(c, caches.forms)?,
    })
}

/// A township's areas: what is kept of them, if that is their version.
pub(super) fn areas(c: &Connection, caches: &Caches<'_>, township: TownshipId) -> Result<Arc<Areas>> {
    let version = feed::read_head(c, township)?.map_or(0, |head| head.areas_version);
    areas_at(c, caches, township, version)
}

/// The areas, of which this is the version.
fn areas_at(c: &Connection, caches: &Caches<'_>, township: TownshipId, version: u64) -> Result<Arc<Areas>> {
    match caches.areas.get(township, version) {
        Some(known) => Ok(known),
        None => Ok(caches.areas.put(township, rights::areas(c, township, version)?)),
    }
}

/// What a user claims; `version` is that of the township's areas.
pub(super) fn claims(
    c: &Connection,
    caches: &Caches<'_>,
    township: TownshipId,
    version: u64,
    user: UserId,
) -> Result<Claims> {
    let areas = areas_at(c, caches, township, version)?;
    let roles = caches.roles.of(settings::setting(c, ROLES)?);
    Ok(Claims { grants: people::grants(c, user, 0)?.1, areas, roles })
}
