#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop where a claim fails")]

mod any_text;
mod conformance;
mod dependencies;
mod faults;
mod limits;
mod tables;

use serde_json::{Value as Json, json};

use super::*;
use crate::clock::SeededEntropy;

/// 2026-06-01T10:00 in the zone -07:00, as the conformance table has it.
const NOW_MS: i64 = 1_780_333_200_000;
const OFFSET_MINUTES: i32 = -420;

fn answers(context: &Json) -> JsonAnswers {
    JsonAnswers::new(context, OFFSET_MINUTES).unwrap()
}

fn evaluate(answers: &JsonAnswers, expression: &str) -> Result<Value, ExpressionError> {
    with_env("default", |env| answers.evaluate(expression, env))
}

fn with_env<T>(language: &str, run: impl FnOnce(&Env<'_>) -> T) -> T {
    let entropy = SeededEntropy::new(7);
    run(&Env { now_ms: NOW_MS, offset_minutes: OFFSET_MINUTES, language, version: "", entropy: &entropy })
}

fn text(context: &Json, expression: &str) -> String {
    evaluate(&answers(context), expression).unwrap().to_text(OFFSET_MINUTES).to_string()
}

/// A township form in small: a household with members and their visits.
fn household() -> Json {
    json!({
        "village": "v1",
        "income": "1200.50",
        "member": [
            {"name": "甲", "age": "30", "visit": [{"day": "2026-01-05"}, {"day": "2026-02-05"}]},
            {"name": "乙", "age": "", "visit": [{"day": ""}]},
        ],
        "@types": {"income": "decimal", "age": "int", "day": "date"},
        "@self": "/data/member[1]/note",
        "@instances": {"villages": [{"name": "v1", "label": "一村"}, {"name": "v2", "label": "二村"}]},
    })
}
