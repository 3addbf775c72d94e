//! Looking through what came and is kept, and comparing with what should be.

use std::collections::{BTreeMap, BTreeSet};

use doorstep_core::id::RecordId;
use doorstep_server::service::rights::LOSS_MS;
use doorstep_server::storage::RecordFilter;

use super::{CANARY_BYTES, History, Known, Outcome, log, text};
use crate::files::{places, readable};

/// What looks like a canary in some bytes.
pub(super) fn canaries_in(bytes: &[u8]) -> BTreeSet<&str> {
    let words = places(bytes, b'7').filter_map(|at| bytes.get(at..at + CANARY_BYTES));
    let framed = words.filter(|word| word.starts_with(b"77") && word.ends_with(b"77"));
    framed.filter_map(|word| std::str::from_utf8(word).ok()).collect()
}

fn owned(found: BTreeSet<&str>) -> impl Iterator<Item = String> {
    found.into_iter().map(str::to_owned)
}

impl History {
    /// What the server has taken, by record.
    fn taken(&self) -> Outcome<BTreeMap<RecordId, BTreeSet<String>>> {
        let mut taken = BTreeMap::new();
        for id in self.records.keys() {
            let Some(record) = self.service.storage.full_record(self.township, *id).map_err(text)? else { continue };
            let found = record.changes.iter().flat_map(|c| owned(canaries_in(&c.bytes))).collect();
            taken.insert(*id, found);
        }
        Ok(taken)
    }

    /// Every canary that the server keeps: taken, refused or waiting.
    pub(super) fn on_server(&self) -> Outcome<BTreeSet<String>> {
        let mut all: BTreeSet<String> = self.taken()?.into_values().flatten().collect();
        for row in self.service.storage.quarantine(self.township, None, 10_000).map_err(text)? {
            all.extend(owned(canaries_in(&row.change.bytes)));
        }
        let ids: Vec<RecordId> = self.records.keys().copied().collect();
        for (_, held) in self.service.storage.waiting(self.township, &ids).map_err(text)? {
            all.extend(owned(canaries_in(&held.bytes)));
        }
        Ok(all)
    }

    /// After a sync of a phone: nothing from outside came or is kept, everything inside is there, and nothing was taken that
    /// its person might write no longer.
    pub(super) fn look_through(&mut self, index: usize) -> Outcome {
        let (handset, taken) = (&self.phones[index], self.taken()?);
        let (came, kept) = (handset.tap.take(), readable(&handset.dir).map_err(text)?);
        let nothing = BTreeSet::new();
        let (mut may_come, mut may_keep) = (BTreeSet::new(), BTreeSet::new());
        let (mut delivered, mut new) = (0, Vec::new());
        for (id, known) in &self.records {
            let taken = taken.get(id).unwrap_or(&nothing);
            let stored = || known.canaries.iter().filter(|(canary, _)| taken.contains(canary));
            let is_new = |(canary, by): &&(String, usize)| *by == index && !self.seen_taken.contains(canary);
            new.extend(stored().filter(is_new).map(|(canary, _)| (canary.clone(), known.clone())));
            if self.may_have_kept(handset.person, known) {
                may_keep.extend(known.canaries.iter().map(|(canary, _)| canary.as_str()));
            }
            // what was written on it goes with the record, once that is settled
            if handset.phone.store().row(*id).map_err(text)?.is_some() {
                let own = known.canaries.iter().filter(|(_, by)| *by == index);
                may_keep.extend(own.map(|(canary, _)| canary.as_str()));
            }
            if !self.in_scope(handset.person, known) {
                continue;
            }
            may_keep.extend(stored().map(|(canary, _)| canary.as_str()));
            may_come.extend(stored().map(|(canary, _)| canary.as_str()));
            let shown = handset.phone.store().record(*id).map_err(text)?;
            let shown: Vec<_> = shown.iter().flat_map(|record| record.changes()).collect();
            let shown: BTreeSet<&str> = shown.iter().flat_map(|change| canaries_in(&change.bytes)).collect();
            if let Some((lacking, _)) = stored().find(|(canary, _)| !shown.contains(canary.as_str())) {
                return Err(self.tell(index, "lacks", lacking));
            }
            delivered += stored().count() as u64;
        }
        let ours = |word: &&&str| self.made.contains(**word);
        if let Some(word) = canaries_in(&came).iter().filter(ours).find(|word| !may_come.contains(**word)) {
            return Err(self.tell(index, "was sent", word));
        }
        let outside = |word: &&&str| !may_keep.contains(**word);
        if let Some(word) = canaries_in(&kept).iter().filter(ours).find(outside) {
            return Err(self.tell(index, "keeps", word));
        }
        for (canary, known) in &new {
            self.was_in_time(index, canary, known)?;
        }
        self.seen_taken.extend(taken.into_values().flatten());
        self.done.looks += 1;
        self.done.delivered += delivered;
        Ok(())
    }

    /// What the server took was written by somebody whom a grant reached, now or in the last 30 days.
    fn was_in_time(&self, index: usize, canary: &str, known: &Known) -> Outcome {
        let person = self.phones[index].person;
        let last = self.last_reached(person, known.about);
        if last.is_some_and(|last| last.saturating_add(LOSS_MS) > self.now_ms()) {
            return Ok(());
        }
        Err(self.tell(index, "was too late, or never in time, with", canary))
    }

    fn tell(&self, index: usize, what: &str, canary: &str) -> String {
        let person = self.phones[index].person;
        let grants: Vec<_> = self.people[person].grants.values().collect();
        let holding = self.records.iter().filter(|(_, known)| known.canaries.iter().any(|(c, _)| c == canary));
        let holding: Vec<String> = holding
            .map(|(id, known)| {
                format!("{id} ({}, about {} in {:?})", known.record_type, known.about, self.lies(known.about))
            })
            .collect();
        format!("at {}: phone {index} of person {person} with {grants:?} {what} {canary} of {holding:?}", self.now_ms())
    }

    /// At the end each phone shows of each of its records what the server shows, byte for byte; nothing that was written is
    /// lost; the figures are those of the records; and the log holds nothing of it.
    pub(super) fn agree(&self) -> Outcome {
        let filter = RecordFilter { limit: 10_000, ..RecordFilter::default() };
        for row in self.service.storage.list_records(self.township, &filter).map_err(text)? {
            for (index, handset) in self.phones.iter().enumerate() {
                // what it wrote into a record that isn't in its scope it may show, refused
                let inside = |known: &&Known| self.in_scope(handset.person, known);
                let Some(known) = self.records.get(&row.id).filter(inside) else { continue };
                let record = handset.phone.store().record(row.id).map_err(text)?;
                if record.is_none_or(|record| record.view().json != row.projection.json) {
                    return Err(format!("phone {index} shows another {} than the server", known.record_type));
                }
            }
        }
        let (server, mut kept) = (self.on_server()?, Vec::new());
        for handset in &self.phones {
            kept.push(readable(&handset.dir).map_err(text)?);
        }
        let kept: Vec<BTreeSet<&str>> = kept.iter().map(|bytes| canaries_in(bytes)).collect();
        for (canary, by) in self.records.values().flat_map(|known| &known.canaries) {
            let is_there = server.contains(canary) || kept.get(*by).is_some_and(|kept| kept.contains(canary.as_str()));
            if !is_there && !self.gone.contains(canary) {
                return Err(format!("{canary} of phone {by} is lost"));
            }
        }
        let verified = self.service.verify_figures(self.township).map_err(text)?;
        if verified.differing > 0 {
            return Err(format!("the figures are not those of the records: {:?}", verified.differences));
        }
        let said = log::said();
        match canaries_in(&said).into_iter().find(|word| self.made.contains(*word)) {
            Some(word) => Err(format!("the log holds {word}")),
            None if said.is_empty() => Err("nothing was logged".to_owned()),
            None => Ok(()),
        }
    }
}
