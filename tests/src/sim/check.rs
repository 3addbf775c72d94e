//! After everything: what phones and server hold, compared with each other and with what helpers were told.

use std::collections::{BTreeMap, BTreeSet};

use doorstep_core::id::{ChangeHash, RecordId};
use doorstep_core::protocol::{ChangeHead, ScopeDigest};
use doorstep_core::record::{Record, Section};
use doorstep_server::storage::RecordRow;

use super::device::Device;
use super::hostile::EVIL;
use super::outcome::{Failure, count};
use super::truth::{Doing, Finished, has, text, visible};
use super::world::World;

/// A record on the server.
struct OnServer {
    row: RecordRow,
    record: Record,
    json: String,
}

type All = BTreeMap<RecordId, OnServer>;

/// Checks every invariant of a quiet world.
pub fn all(world: &mut World<'_>) -> Result<(), Failure> {
    let mut server = All::new();
    for row in world.server_rows(None)? {
        let Some(record) = world.server_record(row.id)? else {
            return Failure::err("I3", format!("a listed record isn't there: {}", row.id));
        };
        let json = record.view().json;
        server.insert(row.id, OnServer { row, record, json });
    }
    feed_is_gapless(world, &server)?;
    rebuilt_records_are_the_same(world, &server)?;
    for who in 0..world.devices.len() {
        world.devices[who].compare(&Doing::Nothing)?;
        phone_is_complete(&world.devices[who], &server)?;
    }
    answers_stand(world, &server)?;
    nothing_evil(&server)?;
    figures_are_what_the_records_say(world)?;
    let diverged = world.network.with(|s| s.server.counts()).get("diverged").copied().unwrap_or(0);
    if diverged > 0 {
        return Failure::err(
            "I5",
            format!("{diverged} times only the scope digest noticed that a phone lacked something"),
        );
    }
    let differences: usize = server.values().map(|s| s.record.view().differences.len()).sum();
    count(&mut world.out.work, "records", server.len() as u64);
    count(&mut world.out.work, "differences", differences as u64);
    let drafts: usize = world.devices.iter().map(|d| d.memory.drafts.len()).sum();
    count(&mut world.out.work, "drafts kept", drafts as u64);
    let heads: Vec<String> = server.values().map(|s| s.json.clone()).collect();
    world.note(&heads.join("\n"));
    Ok(())
}

/// I13: figures equal a recomputation.
fn figures_are_what_the_records_say(world: &World<'_>) -> Result<(), Failure> {
    let found = world.verify_figures()?;
    match found.differences.first() {
        None => Ok(()),
        Some(difference) => Failure::err("I13", format!("{found}: {difference}")),
    }
}

/// I5: the feed has every number from 1 to its head, and holds exactly the records' changes.
fn feed_is_gapless(world: &World<'_>, server: &All) -> Result<(), Failure> {
    let service = world.network.with(|s| s.server.up())?;
    let (head, digest) = service.storage.head(world.township)?;
    let (mut last, mut seen, mut sum) = (0, BTreeSet::new(), ScopeDigest::default());
    loop {
        let page = service.storage.change_list(world.township, last, 500)?;
        if page.is_empty() {
            break;
        }
        for (seq, record, _, hash) in page {
            if seq != last + 1 {
                return Failure::err("I5", format!("the feed goes from {last} to {seq}"));
            }
            last = seq;
            sum.add(&hash);
            if !seen.insert((record, hash)) {
                return Failure::err("I5", format!("a change stands in the feed twice, again at {seq}"));
            }
        }
    }
    if last != head.seq || sum != digest {
        return Failure::err(
            "I5",
            format!("the feed ends at {last} with {sum:?}, its head says {} {digest:?}", head.seq),
        );
    }
    let in_records: BTreeSet<(RecordId, ChangeHash)> =
        server.iter().flat_map(|(id, s)| s.record.changes().into_iter().map(|c| (*id, c.hash))).collect();
    if in_records != seen {
        return Failure::err("I5", "the feed and the records hold different changes");
    }
    Ok(())
}

/// I3: raw changes in any order give the stored record and its projection.
fn rebuilt_records_are_the_same(world: &World<'_>, server: &All) -> Result<(), Failure> {
    for (id, on_server) in server {
        let mut raw: Vec<Vec<u8>> = on_server.record.changes().into_iter().map(|c| c.bytes).collect();
        world.dice.shuffle(&mut raw);
        let mut rebuilt = Record::new(on_server.record.identity().clone());
        rebuilt.apply_trusted(&raw)?;
        let (a, b) = (rebuilt.view().json, &on_server.json);
        if a != *b || rebuilt.heads() != on_server.record.heads() {
            return Failure::err("I3", format!("record {id} rebuilt in another order differs: {a} and {b}"));
        }
        if on_server.row.projection.json != *b {
            return Failure::err("I3", format!("the server's list shows another record {id}"));
        }
    }
    Ok(())
}

/// I2, I3, I5, I8: a phone holds everything in its scope, shows the same bytes, and has nothing left to send.
fn phone_is_complete(device: &Device, server: &All) -> Result<(), Failure> {
    let who = device.index;
    let store = device.phone()?.store();
    let counts = store.counts()?;
    if counts.unsent + counts.waiting > 0 {
        return Failure::err("L", format!("phone {who}: {counts:?} after everybody has synced"));
    }
    if let Some(refused) = store.refused()?.first() {
        return Failure::err(
            "I8",
            format!("phone {who}: a change of {} stays refused: {}", refused.record, refused.reason),
        );
    }
    let mut digest = ScopeDigest::default();
    let mut wanted = BTreeSet::new();
    for (id, on_server) in server {
        if device.village.is_some_and(|village| village != on_server.row.area) {
            continue;
        }
        wanted.insert(*id);
        let Some(mine) = store.record(*id)? else {
            return Failure::err("I2", format!("phone {who} lacks the {} {id}", on_server.row.record_type));
        };
        if mine.heads() != on_server.record.heads() {
            let (more, less) = (only_in(&mine, &on_server.record), only_in(&on_server.record, &mine));
            let what = format!("phone {who} has other changes of {id} than the server: {more:?}, which has {less:?}");
            return Failure::err("I2", what);
        }
        if mine.view().json != on_server.json {
            return Failure::err("I3", format!("phone {who} shows {id} differently under the same heads"));
        }
        on_server.record.changes().iter().for_each(|c| digest.add(&c.hash));
    }
    for row in device.rows(None)? {
        if row.stuck {
            return Failure::err("I11", format!("phone {who}: {} is stuck", row.id));
        }
        if !server.contains_key(&row.id) {
            return Failure::err(
                "I2",
                format!("phone {who} holds the {} {}, the server doesn't", row.record_type, row.id),
            );
        }
        if !wanted.contains(&row.id) {
            return Failure::err("I6", format!("phone {who} holds {} outside its scope", row.id));
        }
    }
    if store.scope_digest()? != digest {
        return Failure::err("I5", format!("phone {who}: the scope digest differs"));
    }
    Ok(())
}

/// The changes of a record that another state of it lacks: actor, number, what was put.
fn only_in(one: &Record, other: &Record) -> Vec<String> {
    let changes = one.changes().into_iter().filter(|c| !other.contains(&c.hash));
    let told = |c: doorstep_core::record::RawChange| {
        let info = one.author_of(&c.hash)?;
        let edits: Vec<String> =
            one.operations(&c.hash).iter().map(|e| format!("{}={}", e.key, text(&e.value))).collect();
        let remade = if info.note.remade_from.is_some() { " remade" } else { "" };
        Some(format!("{}:{}{remade} {}", &info.actor.to_string()[..6], info.seq, edits.join(" ")))
    };
    changes.filter_map(told).collect()
}

/// I1, I2, I4: every finished answer was put, and either stands or was replaced by somebody who had seen it.
fn answers_stand(world: &World<'_>, server: &All) -> Result<(), Failure> {
    let kept = quarantined(world, server)?;
    let mut by_place: BTreeMap<(RecordId, &str), Vec<&Finished>> = BTreeMap::new();
    for f in &world.finished {
        by_place.entry((f.record, f.key.as_str())).or_default().push(f);
    }
    for ((record, key), answers) in by_place {
        let on_server = server.get(&record);
        let shown = on_server.map(|s| visible(&s.record)).unwrap_or_default();
        let there: Vec<bool> =
            answers.iter().map(|f| on_server.is_some_and(|s| has(&s.record, key, &f.value))).collect();
        for (f, is_there) in answers.iter().zip(&there) {
            let what = || format!("{key} = {:?} of phone {} in {record}", f.value, f.phone);
            if f.lost {
                continue;
            }
            if !is_there && kept.contains(&(record, key.to_owned(), text(&f.value))) {
                continue;
            }
            if !is_there {
                return Failure::err("I2", format!("{} never reached the server", what()));
            }
            let value = text(&f.value);
            let replaced = || {
                answers
                    .iter()
                    .zip(&there)
                    .any(|(w, there)| *there && text(&w.value) != value && w.seen.contains(&value))
            };
            if f.unique && !shown.contains(&value) && !replaced() {
                return Failure::err("I4", format!("{} was overwritten by somebody who hadn't seen it", what()));
            }
        }
    }
    Ok(())
}

/// What the changes in quarantine would have put, as far as what they build on is there.
fn quarantined(world: &World<'_>, server: &All) -> Result<BTreeSet<(RecordId, String, String)>, Failure> {
    let service = world.network.with(|s| s.server.up())?;
    let mut kept = BTreeSet::new();
    for row in service.storage.quarantine(world.township, None, 1_000)? {
        let Some(on_server) = server.get(&row.change.record) else { continue };
        let Some(head) = ChangeHead::read(&row.change.bytes) else { continue };
        let (mut needed, mut next) = (BTreeSet::new(), head.dependencies);
        while let Some(hash) = next.pop() {
            if needed.insert(hash) {
                next.extend(on_server.record.deps(&hash).unwrap_or_default());
            }
        }
        let past = on_server.record.changes().into_iter().filter(|c| needed.contains(&c.hash)).map(|c| c.bytes);
        let mut written = Record::new(on_server.record.identity().clone());
        written.apply_trusted(past)?;
        if written.accept(&row.change.bytes).is_ok() {
            let puts = written.operations(&row.change.hash).into_iter();
            kept.extend(puts.map(|e| (row.change.record, e.key, text(&e.value))));
        }
    }
    Ok(kept)
}

/// I7: nothing that a hostile device wrote under another's name is in a record.
fn nothing_evil(server: &All) -> Result<(), Failure> {
    for (id, s) in server {
        let evil =
            s.record.history().into_iter().any(|h| h.section == Section::Answers && text(&h.value).contains(EVIL));
        if evil {
            return Failure::err("I7", format!("a hostile change got into {id}"));
        }
    }
    Ok(())
}
