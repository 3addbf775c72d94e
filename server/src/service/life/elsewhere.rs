//! Households that move to another township of this server: all their records come to both feeds in one transaction. From then on
//! the new township is their home. The old one keeps them as they were, lying nowhere, and gives on what still arrives there.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};

use doorstep_core::id::{AreaId, ChangeHash, RecordId};
use doorstep_core::life::{LifeEvent, placement};
use doorstep_core::link::LINK_TYPE;
use doorstep_core::lists::{Item, area_item};
use doorstep_core::protocol::{RecordBody, RecordFrame, WireChange};

use super::{Arrived, waiting};
use crate::service::audit::{Act, Action, Actor};
use crate::service::giving::active_about;
use crate::service::merge::Sender;
use crate::service::office::{Office, WriteError};
use crate::service::{Refused, Service};
use crate::storage::relocation::{self, MovedBy, past};
use crate::storage::rights::MOVED_MAX;
use crate::storage::{
    Away, Committed, Device, Move, PreparedPush, RecordFilter, RecordRow, Relocation, StorageError, StoredRecord,
    TownshipId, Write,
};

/// Tries when phones change the records meanwhile.
const TRIES: usize = 20;
/// Records, or households, that are read at once.
const PAGE: u32 = 500;

/// What one township gives another one of a household.
struct Given {
    from: TownshipId,
    to: TownshipId,
    household: RecordId,
    /// The event that moves it there, with the day.
    event: Option<(RecordId, String, AreaId)>,
}

impl Service {
    /// Moves a household to another township as an event says. Gives why it can't be.
    pub(super) fn move_out(
        self: &Arc<Self>,
        (from, to): (TownshipId, TownshipId),
        event: &LifeEvent<'_>,
        household: RecordId,
    ) -> Result<Option<&'static str>, WriteError> {
        let Some(placement) = placement(event, household) else { return Ok(Some(waiting::AREA)) };
        let united = self.storage.united(from).map_err(Refused::from)?;
        if united.iter().any(|(led, leads)| household == *led || household == *leads) {
            return Ok(Some(waiting::UNITED));
        }
        let event = Some((event.id, placement.from_day, placement.area));
        self.hand_over(Given { from, to, household, event })?;
        Ok(None)
    }

    /// Other townships that have a household and don't know that it went: a server that was restored to before its move has it
    /// in the old one, and phones of the new one bring it back there.
    pub(super) fn other_homes(&self, township: TownshipId, household: RecordId) -> Result<Vec<TownshipId>, WriteError> {
        let mut homes = Vec::new();
        for other in self.storage.townships().map_err(Refused::from)? {
            let has = other != township && self.storage.record_row(other, household).map_err(Refused::from)?.is_some();
            if has && self.storage.away(other, household).map_err(Refused::from)?.is_none() {
                homes.push(other);
            }
        }
        Ok(homes)
    }

    /// Looks after a household that is, or was, in more than one township: what arrived where it isn't at home is given on; where
    /// it is at home the others are told of its moves, and if nothing moves it here any more it goes back.
    pub(in crate::service) fn settle_elsewhere(
        self: &Arc<Self>,
        township: TownshipId,
        household: RecordId,
    ) -> Result<(), WriteError> {
        if let Some(away) = self.storage.away(township, household).map_err(Refused::from)? {
            return self.give_on(township, away);
        }
        let others = self.storage.came_from(township, household).map_err(Refused::from)?;
        if others.is_empty() {
            return Ok(());
        }
        let places = self.storage.places(township, &[household]).map_err(Refused::from)?;
        let rows = self.storage.relocations(township, household).map_err(Refused::from)?;
        if places.get(&household).is_some_and(|place| place.area == AreaId::NOWHERE) {
            for to in others {
                let there = self.storage.relocations(to, household).map_err(Refused::from)?;
                if is_here(&after(&there, &mirrored(household, &rows, &there, &[]))) {
                    return self.hand_over(Given { from: township, to, household, event: None });
                }
            }
            return Ok(());
        }
        others.into_iter().try_for_each(|other| self.tell_moves((township, other), household, &rows))
    }

    /// The same for all that were left behind, when the server stopped between the two.
    pub(super) fn settle_all_elsewhere(self: &Arc<Self>, township: TownshipId) -> Result<(), WriteError> {
        let behind = self.storage.away_behind(township, PAGE).map_err(Refused::from)?;
        let behind = behind.into_iter().map(|away| away.household);
        let stranded = self.storage.stranded(township, PAGE).map_err(Refused::from)?;
        for household in behind.chain(stranded) {
            // one that fails is in no other's way
            if let Err(error) = self.settle_elsewhere(township, household) {
                tracing::warn!(error = &error as &dyn std::error::Error, "a household of another township waits");
            }
        }
        Ok(())
    }

    /// Gives the home township what the other one has and it lacks.
    fn give_on(self: &Arc<Self>, from: TownshipId, away: Away) -> Result<(), WriteError> {
        let there = self.carrier(away.to)?;
        for _ in 0..TRIES {
            let upto = self.storage.head(from).map_err(Refused::from)?.0.seq;
            let found = self.all_about(from, away.household)?;
            let push = self.copied(&there, &found)?;
            let arrived = Arrived::of(&push);
            let is_news = !push.records.is_empty();
            if is_news && !matches!(self.committer.commit(&*self.storage, push)?, Committed::Done(_)) {
                continue;
            }
            self.storage.note_given(from, away.household, upto).map_err(Refused::from)?;
            if is_news {
                self.settle_arrived(away.to, &arrived);
            }
            return Ok(());
        }
        Err(Refused::Busy.into())
    }

    /// Tells a township where a household isn't at home of its moves: its figures of the past stand on them.
    fn tell_moves(
        self: &Arc<Self>,
        (from, to): (TownshipId, TownshipId),
        household: RecordId,
        rows: &[Relocation],
    ) -> Result<(), WriteError> {
        let there = self.carrier(to)?;
        for _ in 0..TRIES {
            let known = self.storage.relocations(to, household).map_err(Refused::from)?;
            // of the moves that it has itself, as they are by now; of others that there are
            let mut events = self.all_about(from, household)?;
            let ids: Vec<RecordId> = events.iter().map(|record| record.id).collect();
            let held = self.storage.load_records(to, &ids).map_err(Refused::from)?;
            let held: HashSet<RecordId> = held.into_iter().flatten().map(|record| record.id).collect();
            let moves = |id| rows.iter().chain(&known).any(|row| row.by == MovedBy::Event(id));
            events.retain(|record| held.contains(&record.id) && moves(record.id));
            let mut push = self.copied(&there, &events)?;
            push.moves.extend(mirrored(household, rows, &known, &push.moves));
            // what follows from them is decided at home
            push.events.clear();
            if push.records.is_empty() && after(&known, &push.moves) == known {
                return Ok(());
            }
            if matches!(self.committer.commit(&*self.storage, push)?, Committed::Done(_)) {
                return Ok(());
            }
        }
        Err(Refused::Busy.into())
    }

    /// Gives another township all of a household. Unless a later move keeps it here it is at home there from now on.
    fn hand_over(self: &Arc<Self>, given: Given) -> Result<(), WriteError> {
        let Given { from, to, household, event } = given;
        let (here, there) = (self.carrier(from)?, self.carrier(to)?);
        for _ in 0..TRIES {
            if let Some(away) = self.storage.away(from, household).map_err(Refused::from)? {
                // somebody else moved it meanwhile: its home decides
                return self.give_on(from, away);
            }
            let upto = self.storage.head(from).map_err(Refused::from)?.0.seq;
            let found = self.all_about(from, household)?;
            let Some(first) = found.first() else { return Err(WriteError::UnknownRecord) };
            let moved = |area| {
                let (event, from_day, _) = event.clone()?;
                Some(Move { record: household, event: Some(event), only_from: None, area: Some(area), from_day })
            };
            let mut rows = self.storage.relocations(from, household).map_err(Refused::from)?;
            if rows.is_empty() {
                rows.push(start(first.area));
            }
            let leaves: Vec<Move> = moved(AreaId::NOWHERE).into_iter().collect();
            let rows = after(&rows, &leaves);
            let mut known = self.storage.relocations(to, household).map_err(Refused::from)?;
            if known.is_empty() {
                known.push(start(AreaId::NOWHERE));
            }
            let mut arriving = self.copied(&there, &found)?;
            arriving.moves.extend(event.as_ref().and_then(|(.., area)| moved(*area)));
            arriving.moves.extend(mirrored(household, &rows, &known, &arriving.moves));
            let now_ms = self.clock.now_ms();
            let sender = Sender::Author { device: &here, branch: 0 };
            let merge = self.merge(sender, 0, now_ms).map_err(Refused::from)?;
            let mut leaving = merge.moving(Vec::new()).map_err(Refused::from)?;
            leaving.moves = leaves;
            if is_here(&rows) && is_here(&after(&known, &arriving.moves)) {
                // a later act of the office keeps it here, of which the other one wouldn't know
                if self.storage.commit_together(&[leaving]).map_err(Refused::from)? {
                    return Ok(());
                }
                continue;
            } else if is_here(&rows) {
                leaving.writes.push(Write::Away(to, Away { household, to: from, upto: 0 }));
            } else {
                self.move_home((from, to), household, upto, &mut leaving)?;
                let act = Act::new(Action::HouseholdHandedOver).in_township(from).record(household).area(to);
                leaving.entries.push(self.entry(Actor::Server, act.with("records", found.len())));
            }
            let arrived = Arrived::of(&arriving);
            if self.storage.commit_together(&[arriving, leaving]).map_err(Refused::from)? {
                self.settle_arrived(to, &arrived);
                return Ok(());
            }
        }
        Err(Refused::Busy.into())
    }

    /// Makes another township a household's home: pairings here end, and all that had it know where it is now.
    fn move_home(
        &self,
        (from, to): (TownshipId, TownshipId),
        household: RecordId,
        upto: u64,
        leaving: &mut PreparedPush,
    ) -> Result<(), WriteError> {
        for other in self.storage.came_from(from, household).map_err(Refused::from)? {
            let upto = self.storage.away(other, household).map_err(Refused::from)?.map_or(0, |away| away.upto);
            leaving.writes.push(Write::Away(other, Away { household, to, upto }));
        }
        leaving.writes.push(Write::Leave(from, Away { household, to, upto }));
        leaving.writes.push(Write::Home(to, household));
        for (user, grant) in active_about(self, household).map_err(Refused::from)? {
            leaving.grants.push((user, grant.ended(leaving.received_ms)));
        }
        Ok(())
    }

    /// The records about a household that there are in a township, wherever they lie, also those that are about others too. Links
    /// aren't among them: they hold ids only, of households of one township.
    pub(in crate::service) fn each_about(
        &self,
        township: TownshipId,
        household: RecordId,
        mut take: impl FnMut(&RecordRow),
    ) -> Result<(), StorageError> {
        let mut after = 0;
        loop {
            let filter = RecordFilter {
                subject: Some(household),
                elsewhere: true,
                after,
                limit: PAGE,
                ..RecordFilter::default()
            };
            let rows = self.storage.list_records(township, &filter)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.born;
            rows.iter().filter(|row| row.record_type != LINK_TYPE).for_each(&mut take);
        }
    }

    /// A household with all that goes with it, itself first. What is about several households is at home where the first is.
    fn all_about(&self, township: TownshipId, household: RecordId) -> Result<Vec<StoredRecord>, WriteError> {
        let mut ids = vec![household];
        let goes_with = |row: &RecordRow| row.subject == Some(household) && row.id != household;
        let taken = self.each_about(township, household, |row| ids.extend(Some(row.id).filter(|_| goes_with(row))));
        taken.map_err(Refused::from)?;
        if ids.len() > MOVED_MAX {
            return Err(WriteError::Change("too_many_records".to_owned()));
        }
        let stored = self.storage.load_records(township, &ids).map_err(Refused::from)?;
        Ok(stored.into_iter().flatten().collect())
    }

    /// Who brings records to a township: one device of this process start.
    fn carrier(self: &Arc<Self>, township: TownshipId) -> Result<Device, WriteError> {
        let mut known = self.carriers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = known.get(&township) {
            return Ok(device.clone());
        }
        let device = Office::for_events(self, township)?.sender().clone();
        known.insert(township, device.clone());
        Ok(device)
    }

    /// What another township lacks of records, merged there. What it can't take stands in its quarantine.
    fn copied(&self, there: &Device, found: &[StoredRecord]) -> Result<PreparedPush, WriteError> {
        let frame = |record: &StoredRecord| RecordFrame {
            id: record.id,
            identity: record.identity.clone(),
            incarnation: record.incarnation,
            area: AreaId::NOWHERE,
            subject: record.subject,
            body: RecordBody::Changes(
                record.changes.iter().map(|change| WireChange::new(change.hash, change.bytes.clone())).collect(),
            ),
        };
        let senders = |record: &StoredRecord| {
            let id = record.id;
            record.changes.iter().map(move |change| ((id, change.hash), change.device)).collect::<Vec<_>>()
        };
        let senders: HashMap<(RecordId, ChangeHash), _> = found.iter().flat_map(senders).collect();
        let covered: HashSet<(RecordId, ChangeHash)> = senders.keys().copied().collect();
        let carrier = Sender::Carrier { device: there, covered: &covered };
        let merge = self.merge(carrier, 0, self.clock.now_ms()).map_err(Refused::from)?;
        let frames: Vec<RecordFrame> = found.iter().map(frame).collect();
        let mut push = merge.carried(&frames).map_err(Refused::from)?;
        if !push.quarantined.is_empty() {
            tracing::warn!(
                changes = push.quarantined.len(),
                "a township didn't take all of what came with a household"
            );
        }
        for record in &mut push.records {
            for change in &mut record.changes {
                change.device = senders.get(&(record.id, change.hash)).copied().flatten();
            }
        }
        Ok(push)
    }

    /// The areas that a household may move to: the township's own, and those of the server's other townships, with the township's
    /// name before theirs.
    pub(super) fn all_areas(&self, township: TownshipId) -> Result<Vec<Item>, StorageError> {
        let mut items: Vec<Item> = self.storage.area_tree(township)?.live().map(area_item).collect();
        for other in self.storage.townships()?.into_iter().filter(|other| *other != township) {
            let areas = self.storage.area_tree(other)?;
            let label = |item: &Item| item.get("label").cloned().unwrap_or_default();
            let name = areas.live().find(|entry| entry.area == other).map(|entry| label(&area_item(entry)));
            for mut item in areas.live().filter(|entry| entry.area != other).map(area_item) {
                let text = [name.clone().unwrap_or_default(), label(&item)].join(" ");
                item.insert("label".to_owned(), text.trim().to_owned());
                items.push(item);
            }
        }
        Ok(items)
    }

    /// The township of this server that an area belongs to.
    pub(super) fn township_of(&self, area: AreaId) -> Result<Option<TownshipId>, StorageError> {
        for township in self.storage.townships()? {
            if township == area || self.storage.area_tree(township)?.contains(area) {
                return Ok(Some(township));
            }
        }
        Ok(None)
    }
}

fn start(area: AreaId) -> Relocation {
    Relocation { by: MovedBy::Start, from_day: String::new(), only_from: None, area }
}

/// What moves a household, after further moves by events.
fn after(rows: &[Relocation], moves: &[Move]) -> Vec<Relocation> {
    let mut rows = rows.to_vec();
    for moved in moves {
        relocation::apply(&mut rows, moved, AreaId::NOWHERE, 0);
    }
    rows
}

/// True where the last of these moves puts a household into the township that has them.
fn is_here(rows: &[Relocation]) -> bool {
    past(rows).1.is_some_and(|area| area != AreaId::NOWHERE)
}

/// What another township must be told of a household's moves by the one where it is at home, beside those moves that it reads in
/// the events themselves: what moves it to anywhere else moves it nowhere there, and what moves it no longer doesn't there either.
fn mirrored(household: RecordId, home: &[Relocation], there: &[Relocation], read: &[Move]) -> Vec<Move> {
    let moved = |by: MovedBy, area: Option<AreaId>, from_day: &str| {
        let MovedBy::Event(event) = by else { return None };
        let from_day = from_day.to_owned();
        Some(Move { record: household, event: Some(event), only_from: None, area, from_day })
    };
    let is_own = |row: &&Relocation| {
        let by = |event: Option<RecordId>| event.map(MovedBy::Event) == Some(row.by);
        let reads = read.iter().rev().find(|moved| by(moved.event)).map(|moved| moved.area);
        let known = || there.iter().any(|known| known.by == row.by && known.area != AreaId::NOWHERE);
        row.area == AreaId::NOWHERE && reads.map_or_else(known, |area| area.is_some_and(|a| a != AreaId::NOWHERE))
    };
    let elsewhere = home.iter().filter(|row| !is_own(row));
    let elsewhere = elsewhere.filter_map(|row| moved(row.by, Some(AreaId::NOWHERE), &row.from_day));
    let gone = there.iter().filter(|row| row.area == AreaId::NOWHERE && home.iter().all(|at| at.by != row.by));
    elsewhere.chain(gone.filter_map(|row| moved(row.by, None, ""))).collect()
}
