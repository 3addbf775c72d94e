//! `doorstep form replay`: fills forms as scripts say, from standard input, one JSON line each, and answers line by line.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use doorstep_core::clock::{ManualClock, SeededEntropy};
use doorstep_core::form::attachment::read_table;
use doorstep_core::form::expression::{NodeKind, Spot};
use doorstep_core::form::import::{Severity, import};
use doorstep_core::form::model::{Files, Model};
use doorstep_core::form::session::{Refusal, Session, Surroundings};
use doorstep_core::form::{Form, FormDef};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::eval::ClockOptions;
use crate::cli::Outcome;

/// Options of `form replay`.
#[derive(Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    clock: ClockOptions,
    /// The language of labels; the form's default otherwise.
    #[arg(long, default_value = "")]
    language: String,
    /// As our own phones do: answers to what doesn't apply are refused, as are choices that aren't offered, and no answer goes
    /// by itself. Without it as ODK Collect does.
    #[arg(long)]
    phone: bool,
    /// Counted repeats begin with one instance and never shrink, as in JavaRosa. Without it they have as many as the count says.
    #[arg(long, conflicts_with = "phone")]
    javarosa_counts: bool,
}

/// One line: a form and what is done to it.
#[derive(Deserialize)]
struct Script {
    form: String,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Step {
    Add {
        add_repeat: String,
    },
    Set {
        set: String,
        #[serde(default)]
        v: Json,
    },
}

/// Why a script can't be run.
#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error("not a script: {0}")]
    Line(#[from] serde_json::Error),
    #[error("the form can't be read: {0}")]
    File(#[from] std::io::Error),
    #[error("the form is refused: {0}")]
    Form(String),
}

/// Runs scripts until the input ends. What can't be run is answered with `err` on its line.
pub fn replay(args: &ReplayArgs) -> Outcome {
    let (now_ms, offset_minutes) = (args.clock.now_ms()?, args.clock.offset_minutes()?);
    let mut models = HashMap::new();
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let answer = match serde_json::from_str::<Script>(&line) {
            Ok(script) => run(&script, &mut models, now_ms, offset_minutes, args)
                .unwrap_or_else(|e| json!({"form": script.form, "seed": script.seed, "err": e.to_string()})),
            Err(error) => json!({"err": ReplayError::from(error).to_string()}),
        };
        writeln!(out, "{answer}")?;
    }
    Ok(ExitCode::SUCCESS)
}

type Models = HashMap<String, Arc<Model>>;

fn run(
    script: &Script,
    models: &mut Models,
    now_ms: i64,
    offset_minutes: i32,
    args: &ReplayArgs,
) -> Result<Json, ReplayError> {
    let model = match models.get(&script.form) {
        Some(model) => Arc::clone(model),
        None => {
            let model = Arc::new(load(Path::new(&script.form))?);
            models.insert(script.form.clone(), Arc::clone(&model));
            model
        }
    };
    let clock = Arc::new(ManualClock::at(now_ms.cast_unsigned()));
    let mut around = Surroundings::new(clock, Arc::new(SeededEntropy::new(script.seed)), offset_minutes);
    around.language.clone_from(&args.language);
    let mut session = match (args.phone, args.javarosa_counts) {
        (true, _) => Session::new(model, around),
        (false, true) => Session::as_javarosa(model, around),
        (false, false) => Session::as_collect(model, around),
    };
    let (mut results, mut choices) = (Vec::new(), Vec::new());
    for step in &script.steps {
        let (result, offered) = match step {
            Step::Add { add_repeat } => (add(&mut session, add_repeat), Json::Null),
            Step::Set { set, v } => answer(&mut session, set, v, args.phone),
        };
        results.push(result);
        choices.push(offered);
    }
    let spots: Vec<Spot> = session.leaf_spots().into_iter().filter(|s| session.is_relevant(*s)).collect();
    let relevant: Vec<String> = spots.iter().map(|s| session.path(*s)).collect();
    let values: serde_json::Map<String, Json> = spots
        .iter()
        .map(|s| (session.path(*s), Json::from(&*session.value_for_export(*s))))
        .filter(|(_, value)| value.as_str() != Some(""))
        .collect();
    let mut line = json!({"form": script.form, "seed": script.seed, "results": results, "choices": choices,
        "relevant": relevant, "values": values});
    if !session.faults().is_empty() {
        let faults: Vec<String> = session.faults().iter().map(|f| format!("{f:?}")).collect();
        line["faults"] = json!(faults);
    }
    Ok(line)
}

fn add(session: &mut Session, path: &str) -> Json {
    let Some(spot) = session.at_path(path) else { return "no_such_place".into() };
    let around = session.model().tree().depth(spot.node).saturating_sub(1);
    match session.add_instance(spot.node, spot.rows.first(around)) {
        Ok(_) => Json::Null,
        Err(refusal) => refused(&refusal),
    }
}

/// Sets a leaf; with the names on offer at that moment, where the list is filtered.
fn answer(session: &mut Session, path: &str, value: &Json, phone: bool) -> (Json, Json) {
    let spot = session.at_path(path);
    let Some(spot) = spot.filter(|s| matches!(session.model().tree().kind(s.node), NodeKind::Leaf(_))) else {
        return ("no_such_place".into(), Json::Null);
    };
    let offered = if session.has_filtered_choices(spot.node) {
        session.choices(spot).iter().map(|c| Json::from(&*c.name)).collect()
    } else {
        Json::Null
    };
    let text = match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let given = if phone { session.answer(spot, &text) } else { session.replay(spot, &text) };
    let result = match given {
        Err(refusal @ Refusal::NoSuchPlace) => return (refused(&refusal), Json::Null),
        Ok(_) => "ok".into(),
        Err(refusal) => refused(&refusal),
    };
    (result, offered)
}

fn refused(refusal: &Refusal) -> Json {
    match refusal {
        Refusal::Required { .. } => "required".into(),
        Refusal::Constraint { .. } => "constraint".into(),
        Refusal::NoSuchPlace => "no_such_place".into(),
        other => other.to_string().into(),
    }
}

/// Reads a form: a workbook, or a definition as JSON. Lists that it names are looked for beside it.
fn load(path: &Path) -> Result<Model, ReplayError> {
    let bytes = std::fs::read(path)?;
    let def = if path.extension().is_some_and(|e| e == "json") {
        FormDef::from_json(&String::from_utf8_lossy(&bytes))?
    } else {
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let found = import(&bytes, &stem);
        let errors = found.problems.iter().filter(|p| p.severity() == Severity::Error);
        let said: Vec<String> = errors.map(|p| format!("{}: {}", p.place, p.message("en"))).collect();
        found.def.ok_or_else(|| ReplayError::Form(said.join("; ")))?
    };
    let mut files = Files::new();
    for name in def.extra.get("files").and_then(|f| f.as_array()).into_iter().flatten().filter_map(|n| n.as_str()) {
        let beside = path.with_file_name(name);
        if !name.contains(['/', '\\']) && beside.exists() {
            let table =
                read_table(name, &std::fs::read(beside)?).map_err(|e| ReplayError::Form(format!("{name}: {e}")))?;
            files.insert(name.to_owned(), Arc::new(table));
        }
    }
    Model::with_files(Arc::new(Form::new(def)), &files).map_err(|errors| {
        let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
        ReplayError::Form(said.join("; "))
    })
}
