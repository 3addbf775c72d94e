//! `doorstep form eval`: computes expressions from standard input, one JSON line each, and answers line by line.

use std::io::{BufRead, Write};
use std::process::ExitCode;

use clap::Args;
use doorstep_core::clock::{Clock, SystemClock, SystemEntropy};
use doorstep_core::form::expression::{ContextError, Env, ExpressionError, JsonAnswers, Moment, Value};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::super::Outcome;

/// The clock of `form eval` and `form replay`.
#[derive(Args, Clone)]
pub struct ClockOptions {
    /// The zone, as -07:00 or +08:00.
    #[arg(long, default_value = "+00:00", allow_hyphen_values = true)]
    pub zone: String,
    /// The time that counts as now, in the zone, as 2026-06-01T10:00:00; the machine's clock otherwise.
    #[arg(long)]
    pub now: Option<String>,
}

/// A clock option that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// The zone.
    #[error("--zone takes a zone as -07:00, not {0:?}")]
    Zone(String),
    /// The time.
    #[error("--now takes a time as 2026-06-01T10:00:00, not {0:?}")]
    Now(String),
}

impl ClockOptions {
    /// Minutes east of UTC.
    ///
    /// # Errors
    /// When the zone isn't one.
    pub fn offset_minutes(&self) -> Result<i32, ClockError> {
        let zone = self.zone.trim();
        // an instant in that zone says how far it is from UTC
        match Moment::parse(&format!("1970-01-02T00:00{zone}"), 0) {
            Ok(Some(Moment::Instant(ms))) if zone == "Z" || zone.starts_with(['+', '-']) => {
                i32::try_from((86_400_000 - ms) / 60_000).map_err(|_| ClockError::Zone(zone.to_owned()))
            }
            _ => Err(ClockError::Zone(zone.to_owned())),
        }
    }

    /// The time that counts as now, in milliseconds since 1970-01-01T00:00Z.
    ///
    /// # Errors
    /// When zone or time aren't ones.
    pub fn now_ms(&self) -> Result<i64, ClockError> {
        let offset = self.offset_minutes()?;
        let Some(now) = &self.now else { return Ok(i64::try_from(SystemClock.now_ms()).unwrap_or(i64::MAX)) };
        match Moment::parse(now.trim(), offset) {
            Ok(Some(Moment::Instant(ms))) => Ok(ms),
            Ok(Some(Moment::Day(day))) => Ok(day * 86_400_000 - i64::from(offset) * 60_000),
            _ => Err(ClockError::Now(now.clone())),
        }
    }
}

/// Options of `form eval`.
#[derive(Args)]
pub struct EvalArgs {
    #[command(flatten)]
    clock: ClockOptions,
    /// The language of labels, month and day names.
    #[arg(long, default_value = "default")]
    language: String,
}

/// One case. Other fields, as `kind`, are for the author.
#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    id: Json,
    expression: String,
    #[serde(default)]
    context: Json,
}

#[derive(Debug, thiserror::Error)]
enum CaseError {
    #[error("not a case: {0}")]
    Json(#[from] serde_json::Error),
    #[error("context: {0}")]
    Context(#[from] ContextError),
    #[error(transparent)]
    Expression(#[from] ExpressionError),
}

/// Answers each line of standard input.
///
/// # Errors
/// When an option can't be read, or standard input or output fails. A case that fails is answered with its error.
pub fn eval(args: &EvalArgs) -> Outcome {
    let (offset_minutes, now_ms) = (args.clock.offset_minutes()?, args.clock.now_ms()?);
    let env = Env { now_ms, offset_minutes, language: &args.language, version: "", entropy: &SystemEntropy };
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line?;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        writeln!(output, "{}", answer(&line, &env))?;
        output.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn answer(line: &[u8], env: &Env<'_>) -> Json {
    let case: Case = match serde_json::from_slice(line) {
        Ok(case) => case,
        Err(error) => {
            let id = serde_json::from_slice::<Json>(line).ok().and_then(|json| json.get("id").cloned());
            return json!({ "id": id, "err": CaseError::Json(error).to_string() });
        }
    };
    match evaluate(&case, env) {
        Ok(value) => json!({
            "id": case.id,
            "s": &*value.to_text(env.offset_minutes),
            "n": number(value.to_number(env.offset_minutes)),
            "b": value.to_bool(),
        }),
        Err(error) => json!({ "id": case.id, "err": error.to_string() }),
    }
}

fn evaluate(case: &Case, env: &Env<'_>) -> Result<Value, CaseError> {
    let answers = JsonAnswers::new(&case.context, env.offset_minutes)?;
    Ok(answers.evaluate(&case.expression, env)?)
}

/// A JSON number, whole ones without a point; what JSON can't say as text.
fn number(n: f64) -> Json {
    if n.is_nan() {
        return json!("NaN");
    }
    if n.is_infinite() {
        return json!(if n > 0.0 { "Infinity" } else { "-Infinity" });
    }
    if n.fract() == 0.0 && n.abs() < 9e15 { json!(n as i64) } else { json!(n) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests stop where a claim fails")]

    use super::*;

    fn clock(zone: &str, now: &str) -> Result<(i32, i64), ClockError> {
        let options = ClockOptions { zone: zone.to_owned(), now: Some(now.to_owned()) };
        Ok((options.offset_minutes()?, options.now_ms()?))
    }

    fn answered(line: &str) -> Json {
        let (offset_minutes, now_ms) = clock("-07:00", "2026-06-01T10:00:00").unwrap();
        let env = Env { now_ms, offset_minutes, language: "en", version: "", entropy: &SystemEntropy };
        answer(line.as_bytes(), &env)
    }

    #[test]
    fn a_case_is_answered_as_text_number_and_truth_value_under_its_id() {
        let cases = [
            (r#"{"id": 7, "expression": "1 + 1.5"}"#, json!({"id": 7, "s": "2.5", "n": 2.5, "b": true})),
            (r#"{"id": "a", "expression": "'x'"}"#, json!({"id": "a", "s": "x", "n": "NaN", "b": true})),
            (r#"{"id": 1, "expression": "-1 div 0"}"#, json!({"id": 1, "s": "-Infinity", "n": "-Infinity", "b": true})),
            (r#"{"id": 1, "expression": "today()"}"#, json!({"id": 1, "s": "2026-06-01", "n": 20605, "b": true})),
            (
                r#"{"id": 2, "kind": "calculate", "expression": "${n} + 1", "context": {"n": "2.50", "@types": {"n": "decimal"}}}"#,
                json!({"id": 2, "s": "3.5", "n": 3.5, "b": true}),
            ),
        ];
        for (line, wanted) in cases {
            assert_eq!(answered(line), wanted, "{line}");
        }
    }

    #[test]
    fn whatever_is_wrong_with_a_line_is_said_under_its_id() {
        let lines = [
            r#"{"id": 3, "expression": "1 +"}"#,
            r#"{"id": 3, "expression": 5}"#,
            r#"{"id": 3, "expression": "1", "context": []}"#,
            r#"{"id": 3, "expression": "1", "context": {"@types": {"a": "colour"}}}"#,
            r#"{"id": 3, "expression": "1", "context": {"@self": "elsewhere"}}"#,
        ];
        for line in lines {
            let answer = answered(line);
            assert!(answer["id"] == 3 && answer["err"].as_str().is_some_and(|e| e.len() > 10), "{answer}");
        }
        assert!(answered("{").get("err").is_some());
    }

    #[test]
    fn zone_and_time_are_read_or_refused() {
        assert_eq!(clock("-07:00", "2026-06-01T10:00:00").unwrap(), (-420, 1_780_333_200_000));
        assert_eq!(clock("+08:00", "2026-06-01T10:00").unwrap(), (480, 1_780_279_200_000));
        assert_eq!(clock("Z", "2026-06-01").unwrap(), (0, 1_780_272_000_000));
        for (zone, now) in [("east", "2026-06-01"), ("", "2026-06-01"), ("+08:00", "soon"), ("+08:00", "2026-02-30")] {
            assert!(clock(zone, now).is_err(), "{zone} {now}");
        }
    }
}
