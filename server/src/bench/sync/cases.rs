//! The cases, in the order in which they run: each builds on the server as the ones before left it.

use std::collections::BTreeSet;
use std::time::Duration;

use doorstep_core::record::Value;
use serde_json::{Value as Json, json};

use super::{Bench, FLEET, Measure, own_group, shared_village};
use crate::bench::Fault;
use crate::bench::process::memory_mb;
use crate::bench::report::{Line, percentile};
use crate::bench::worker::{Ask, Written};
use crate::bench::workload::{Document, json_sizes};

type Case = fn(&mut Bench, Line) -> Result<Line, Fault>;

/// What the cases that a slow link leaves out unless they are named begin with.
pub const FIFTY: &str = "fifty devices";
/// All cases by name.
pub const ALL: &[(&str, Case)] = &[
    ("initial pull", initial_pull),
    ("nothing changed", nothing_changed),
    ("ten changed", ten_changed),
    ("first push 100", first_push),
    ("first push 100 screenings", first_push_screenings),
    (FIFTY, fifty_devices),
    ("fifty devices sharing villages", fifty_sharing),
    ("different fields", different_fields),
    ("same field", same_field),
    ("server memory", server_memory),
];

/// Documents of one phone's push.
const PUSHED: usize = 100;
/// Documents of each device when many push at once.
const FLEET_PUSHED: usize = 20;
/// Households edited between two syncs.
const EDITED: usize = 10;
/// Four times what PouchDB takes on the machine of the targets.
const FLEET_RECORDS_PER_S: f64 = 10_400.0;

fn one(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}

/// Adds what the documents are as JSON.
fn with_json(line: Line, documents: &[&Document]) -> Result<Line, Fault> {
    let (plain, compressed) = json_sizes(documents.iter().copied())?;
    Ok(line.with("json_bytes", plain).with("json_zstd_bytes", compressed))
}

fn initial_pull(bench: &mut Bench, line: Line) -> Result<Line, Fault> {
    let measure = bench.measure(&one("pull"))?;
    let documents: Vec<&Document> = bench.workload.households.iter().chain(&bench.workload.visits).collect();
    let line = measure.line(line).with("records", measure.counted("records_received"));
    let line = with_json(line, &documents)?.at_most(&["bytes_up", "bytes_down"], 400_000.0);
    Ok(if bench.slow { line.at_most(&["wall_ms"], 72_000.0) } else { line })
}

fn nothing_changed(bench: &mut Bench, line: Line) -> Result<Line, Fault> {
    bench.prepare(&one("pull"))?;
    let measure = bench.measure(&one("pull"))?;
    let line = measure.line(line).with("records", measure.counted("records_received"));
    Ok(line.at_most(&["http_requests"], 1.0).at_most(&["bytes_up", "bytes_down"], 700.0))
}

fn ten_changed(bench: &mut Bench, line: Line) -> Result<Line, Fault> {
    bench.prepare(&["pull".into(), "edit".into()])?;
    let step = bench.workload.households.len() / EDITED;
    let households: Vec<Document> =
        bench.workload.households.iter().step_by(step.max(1)).take(EDITED).cloned().collect();
    let remarks = bench.workload.visits.iter().filter_map(|v| {
        v.answers.iter().find_map(
            |(key, value)| if let ("remark", Value::Text(t)) = (key.as_str(), value) { Some(t) } else { None },
        )
    });
    let part = |text: &str, chars: usize| Value::Text(text.chars().take(chars).collect());
    // as the peers' editHousehold: income, a check with its remark, the note, when and by whom
    let edits: Vec<Written> = households
        .iter()
        .zip(remarks)
        .enumerate()
        .map(|(n, (household, text))| {
            let answers = vec![
                ("income_wage".into(), Value::Int(20_011 + 1_237 * n as i64)),
                ("checks.housing.result".into(), Value::from("problem")),
                ("checks.housing.remark".into(), part(text, 20)),
                ("note".into(), part(text, 30)),
                ("updated_at".into(), Value::Text(format!("2025-12-14T0{}:11:0{n}.000Z", n % 10))),
                ("updated_by".into(), Value::from("u099")),
            ];
            bench.as_edit(household, answers)
        })
        .collect();
    bench.write("edit", edits)?;
    bench.prepare(&one("edit"))?;
    let measure = bench.measure(&one("pull"))?;
    let line = measure.line(line).with("records", measure.counted("records_received"));
    let line = with_json(line, &households.iter().collect::<Vec<_>>())?;
    Ok(line.at_most(&["http_requests"], 1.0).at_most(&["bytes_up", "bytes_down"], 3_000.0))
}

/// A phone that holds the township pushes documents that were made offline, in one batch signed before the start.
fn push(bench: &mut Bench, line: Line, phone: &str, documents: &[Document]) -> Result<Line, Fault> {
    bench.prepare(&one(phone))?;
    let written = documents.iter().map(|d| bench.as_new(d)).collect();
    bench.write(phone, written)?;
    bench.sign(&one(phone))?;
    let measure = bench.measure(&one(phone))?;
    let line = measure.line(line).with("acknowledged", measure.counted("changes_acknowledged"));
    with_json(line, &documents.iter().collect::<Vec<_>>())
}

fn first_push(bench: &mut Bench, line: Line) -> Result<Line, Fault> {
    let documents = bench.workload.visits_of(&[1, 2], 0, PUSHED);
    let line = push(bench, line, "push", &documents)?;
    let line = line.at_most(&["bytes_up"], 13_500.0).at_most(&["http_requests"], 1.0);
    Ok(if bench.slow { line.at_most(&["wall_ms"], 4_500.0) } else { line })
}

fn first_push_screenings(bench: &mut Bench, line: Line) -> Result<Line, Fault> {
    let documents = bench.workload.screenings(PUSHED);
    push(bench, line, "screen", &documents)
}

/// Devices push at the same time; nobody reads what the others push, as in the peers' case.
fn fifty_devices(bench: &mut Bench, line: Line) -> Result<Line, Fault> {
    let line = fleet(bench, line, true)?;
    Ok(line.at_least("records_per_s", FLEET_RECORDS_PER_S))
}

/// Devices that hold their village push at the same time and read what the others of the village have pushed.
fn fifty_sharing(bench: &mut Bench, line: Line) -> Result<Line, Fault> {
    fleet(bench, line, false)
}

fn fleet(bench: &mut Bench, line: Line, alone: bool) -> Result<Line, Fault> {
    let phones: Vec<String> = (0..FLEET).map(if alone { own_group } else { shared_village }).collect();
    bench.prepare(&phones)?;
    let (mut rates, mut waits) = (Vec::new(), Vec::new());
    let (mut sum, mut acknowledged, mut received) = (None::<Measure>, 0, 0);
    for round in 0..bench.rounds {
        for (index, phone) in phones.iter().enumerate() {
            let villages = [index % bench.workload.villages];
            let documents = bench.workload.visits_of(&villages, FLEET_PUSHED * round, FLEET_PUSHED);
            let mut written: Vec<Written> = documents.iter().map(|d| bench.as_new(d)).collect();
            if alone {
                written.iter_mut().for_each(|w| w.area = bench.groups[index]);
            }
            bench.write(phone, written)?;
        }
        bench.sign(&phones)?;
        let measure = bench.measure(&phones)?;
        rates.push((FLEET * FLEET_PUSHED) as f64 / (measure.wall_ms / 1000.0));
        waits.extend(measure.answer["each_ms"].as_array().into_iter().flatten().filter_map(Json::as_f64));
        acknowledged += measure.counted("changes_acknowledged");
        received += measure.counted("records_received");
        sum = Some(match sum {
            Some(sum) => sum.plus(measure),
            None => measure,
        });
    }
    let rounds = bench.rounds as f64;
    let sum = sum.ok_or("no round")?;
    let rate = percentile(&rates, 50);
    Ok(line
        .with_tenths("wall_ms", (FLEET * FLEET_PUSHED) as f64 / rate * 1000.0)
        .with_tenths("bytes_up", sum.bytes_up as f64 / rounds)
        .with_tenths("bytes_down", sum.bytes_down as f64 / rounds)
        .with_tenths("http_requests", sum.http_requests as f64 / rounds)
        .with_tenths("server_cpu_ms", sum.server_cpu_ms as f64 / rounds)
        .with_tenths("client_cpu_ms", sum.client_cpu_ms as f64 / rounds)
        .with_tenths("server_rss_mb", sum.server_rss_mb)
        .with("rounds", bench.rounds)
        .with("acknowledged", acknowledged)
        .with("received", received)
        .with_tenths("records_per_s", rate)
        .with_tenths("records_per_s_least", percentile(&rates, 0))
        .with_tenths("records_per_s_most", percentile(&rates, 100))
        .with_tenths("device_p50_ms", percentile(&waits, 50))
        .with_tenths("device_p99_ms", percentile(&waits, 99))
        .with_tenths("server_cpu_us_per_record", sum.server_cpu_ms as f64 * 1000.0 / acknowledged.max(1) as f64))
}

fn different_fields(bench: &mut Bench, line: Line) -> Result<Line, Fault> {
    let edits = [("phone", Value::from("10000000001")), ("income_wage", Value::Int(11_111))];
    two_phones(bench, line, 7, edits)
}

fn same_field(bench: &mut Bench, line: Line) -> Result<Line, Fault> {
    let edits = [("phone", Value::from("10000000001")), ("phone", Value::from("10000000002"))];
    two_phones(bench, line, 8, edits)
}

/// Two phones edit one household before either syncs; then they sync in turn, twice each. A third one reads.
fn two_phones(bench: &mut Bench, line: Line, household: usize, edits: [(&str, Value); 2]) -> Result<Line, Fault> {
    const PHONES: [&str; 2] = ["first", "second"];
    bench.prepare(&PHONES.map(str::to_owned))?;
    let household = bench.workload.households[household].clone();
    for (phone, (key, value)) in PHONES.iter().zip(&edits) {
        let edit = bench.as_edit(&household, vec![((*key).to_owned(), value.clone())]);
        bench.write(phone, vec![edit])?;
    }
    let mut sum = None::<Measure>;
    for phone in PHONES.iter().cycle().take(4) {
        let measure = bench.measure(&one(phone))?;
        sum = Some(match sum {
            Some(sum) => sum.plus(measure),
            None => measure,
        });
    }
    bench.prepare(&one("edit"))?;
    let mut records = Vec::new();
    for phone in ["first", "second", "edit"] {
        let record = household.id;
        records.push(bench.worker.ask(&Ask::Show { phone: phone.to_owned(), record })?["record"].take());
    }
    let kept = records.iter().map(|record| shown(record, &edits)).min().unwrap_or_default();
    let converged = records.windows(2).all(|pair| pair[0] == pair[1]);
    let line = sum.ok_or("no sync")?.line(line).with("kept", kept).with("converged", converged);
    let line = line.with("differences", records[0]["differences"].as_array().map_or(0, Vec::len));
    Ok(line.at_least("kept", 2.0))
}

/// How many of the edits a reader of the record sees, as the answer or in a difference.
fn shown(record: &Json, edits: &[(&str, Value); 2]) -> usize {
    let mut visible: BTreeSet<(String, String)> = BTreeSet::new();
    for (key, value) in record["answers"].as_object().into_iter().flatten() {
        visible.insert((key.clone(), value.to_string()));
    }
    for difference in record["differences"].as_array().into_iter().flatten() {
        let key = difference["key"].as_str().unwrap_or_default();
        for value in difference["values"].as_array().into_iter().flatten() {
            visible.insert((key.to_owned(), value["value"].to_string()));
        }
    }
    edits.iter().filter(|(key, value)| visible.contains(&((*key).to_owned(), json!(value).to_string()))).count()
}

fn server_memory(bench: &mut Bench, line: Line) -> Result<Line, Fault> {
    std::thread::sleep(Duration::from_secs(1));
    let (peak, now) = memory_mb(bench.server.pid())?;
    Ok(line.with_tenths("peak_mb", peak).with_tenths("rss_mb", now).at_most(&["peak_mb"], 60.0))
}
