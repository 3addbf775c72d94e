//! What merged, what differs, what it cost; and the check that nothing acknowledged was lost.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use doorstep_core::id::{ChangeHash, RecordId};
use doorstep_core::store::{Enrolment, ListFilter};
use serde_json::{Value, json};

use super::campaign::{DemoPhone, PHONES, SyncFigures, Week};
use super::township::Township;
use crate::calendar::Period;
use crate::say;
use crate::service::merge::open_record;
use crate::service::{Service, view};
use crate::storage::RecordFilter;
use crate::storage::figures::Kind;

/// Differences printed in full.
const SHOWN: usize = 12;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Prints the report and gives the summary.
pub fn report(service: &Arc<Service>, township: &Township, week: Week) -> Result<Value, Fault> {
    let storage = &*service.storage;
    let figures = service.figures(township.area, None, &Period::Whole, &service.today())?.total;
    let households = figures.stock().households;
    let visits = figures.sum(Kind::Records, Some("visit")).records;
    let (differing, conflicts) = differences(service, township)?;
    let check = Check::run(service, &week.phones)?;
    let remade: u64 = week.phones.iter().map(|p| p.remade).sum();
    let quarantined = storage.quarantine(township.area, None, 1_000)?;
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    for row in &quarantined {
        *reasons.entry(row.change.reason.clone()).or_default() += 1;
    }
    say!("\n{PHONES} phones and a clone, {} visits and {} screenings made offline", week.visits, week.screenings);
    say!("{} households edited by two or three phones at once", week.shared_households);
    say!("{conflicts} differences stand in {differing} records; {remade} changes were made anew (a cloned phone)");
    say!("kept as evidence: {}", if reasons.is_empty() { "nothing".to_owned() } else { format!("{reasons:?}") });
    let figures: Vec<SyncFigures> = week.phones.iter().flat_map(|p| p.syncs.iter().copied()).collect();
    syncs("syncs on a good link", &figures, false);
    syncs("syncs on a cutting 2G-like link (300 ms, 100 kbit/s)", &figures, true);
    say!(
        "checked: {} acknowledged changes of phones, {} lost; {} records compared with the server, {} unequal",
        check.acknowledged.len(),
        check.lost.len(),
        check.records,
        check.unequal
    );
    let verified = service.verify_figures(township.area)?;
    verified.differences.iter().for_each(|difference| say!("{difference}"));
    say!("figures and records {verified}");
    let happenings = &week.happenings;
    Ok(json!({
        "households_moved": happenings.households_moved,
        "households_split": happenings.households_split,
        "households_paired_anew": happenings.households_paired_anew,
        "phones_lost": happenings.phones_lost,
        "lost_phone_changes_accepted": happenings.changes_accepted,
        "differences_decided": happenings.differences_decided,
        "figures_differing": verified.differing,
        "households": households,
        "visits": visits,
        "visits_made": week.visits,
        "screenings_made": week.screenings,
        "shared_households": week.shared_households,
        "phones": PHONES,
        "clones": week.phones.len() - PHONES,
        "changes_sent": check.sent,
        "changes_acknowledged": check.acknowledged.len(),
        "changes_lost": check.lost.len(),
        "changes_remade": remade,
        "changes_unsent": check.unsent,
        "conflicts": conflicts,
        "records_differing": differing,
        "quarantined": quarantined.len(),
        "bytes_up": figures.iter().map(|f| f.bytes_up).sum::<u64>(),
        "bytes_down": figures.iter().map(|f| f.bytes_down).sum::<u64>(),
        "requests": figures.iter().map(|f| f.requests).sum::<u64>(),
        "records_compared": check.records,
        "converged": check.unequal == 0 && check.unsent == 0,
    }))
}

/// Prints differences with who, when, values; gives how many records differ and in how many answers.
fn differences(service: &Arc<Service>, township: &Township) -> Result<(u64, u64), Fault> {
    let (mut records, mut conflicts, mut after) = (0, 0, 0);
    loop {
        let filter = RecordFilter { with_differences: true, after, limit: 200, ..RecordFilter::default() };
        let rows = service.storage.list_records(township.area, &filter)?;
        let Some(last) = rows.last() else { break };
        after = last.born;
        for row in &rows {
            let Some(page) = view::record_page(service, township.area, row.id)? else { continue };
            records += 1;
            for difference in &page.differences {
                conflicts += 1;
                if conflicts as usize <= SHOWN {
                    say!("{} {} · {}", row.record_type, row.projection.title, difference.key);
                    for v in &difference.values {
                        say!(
                            "    {}   by {}, filled {} (phone), received {}",
                            v.value,
                            v.name,
                            when(v.claimed_s),
                            when((v.received_ms / 1000) as i64)
                        );
                    }
                }
            }
        }
    }
    if conflicts as usize > SHOWN {
        say!("    ... and {} more, at /differences", conflicts as usize - SHOWN);
    }
    Ok((records, conflicts))
}

fn when(seconds: i64) -> String {
    time::OffsetDateTime::from_unix_timestamp(seconds)
        .map_or_else(|_| String::new(), |t| format!("{} {:02}:{:02}Z", t.date(), t.hour(), t.minute()))
}

fn syncs(title: &str, figures: &[SyncFigures], slow: bool) {
    let mut chosen: Vec<&SyncFigures> = figures.iter().filter(|f| f.slow == slow).collect();
    chosen.sort_by_key(|f| f.took);
    let Some(median) = chosen.get(chosen.len() / 2) else { return };
    let sum = |of: fn(&SyncFigures) -> u64| chosen.iter().map(|f| of(f)).sum::<u64>() / chosen.len() as u64;
    let worst = chosen.last().map_or(Duration::ZERO, |f| f.took);
    say!(
        "{title}: {} syncs, median {} ms (longest {} ms), on average {} bytes up, {} down, {} requests",
        chosen.len(),
        median.took.as_millis(),
        worst.as_millis(),
        sum(|f| f.bytes_up),
        sum(|f| f.bytes_down),
        sum(|f| f.requests)
    );
}

/// What the comparison found. Changes count once, however many phones hold them.
#[derive(Default)]
struct Check {
    acknowledged: HashSet<(RecordId, ChangeHash)>,
    lost: HashSet<(RecordId, ChangeHash)>,
    sent: u64,
    records: u64,
    unequal: u64,
    unsent: u64,
}

impl Check {
    /// Compares every phone with the server: each own change is there with its answers, each record reads the same.
    fn run(service: &Arc<Service>, phones: &[DemoPhone]) -> Result<Self, Fault> {
        let mut check = Self::default();
        for phone in phones {
            let store = phone.phone.store();
            check.unsent += store.counts()?.unsent;
            let Enrolment { user, township, .. } = phone.phone.enrolment()?.ok_or("a phone lost its enrolment")?;
            let mut offset = 0;
            loop {
                let rows = store.list(&ListFilter { offset, limit: 500, ..ListFilter::default() })?;
                if rows.is_empty() {
                    break;
                }
                offset += rows.len() as u32;
                for row in rows {
                    let mine = store.record(row.id)?.ok_or("a listed record is missing")?;
                    check.records += 1;
                    let stored = service.storage.full_record(township, row.id)?;
                    let theirs = stored.as_ref().and_then(|s| open_record(s).ok());
                    for change in mine.changes() {
                        if mine.author_of(&change.hash).is_none_or(|a| a.note.user != user) {
                            continue;
                        }
                        check.acknowledged.insert((row.id, change.hash));
                        let same = theirs.as_ref().is_some_and(|t| {
                            t.contains(&change.hash) && t.operations(&change.hash) == mine.operations(&change.hash)
                        });
                        if !same {
                            check.lost.insert((row.id, change.hash));
                        }
                    }
                    let equal = theirs.is_some_and(|t| t.view().json == mine.view().json);
                    check.unequal += u64::from(!equal);
                }
            }
        }
        check.sent = check.acknowledged.len() as u64 + check.unsent;
        Ok(check)
    }
}
