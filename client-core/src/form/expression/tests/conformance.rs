//! The table of cases in `tests/conformance`, which a development check also runs on JavaRosa.

use std::path::Path;

use super::*;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance").join(name);
    std::fs::read_to_string(path).unwrap()
}

fn number(json: &Json) -> f64 {
    match json.as_str() {
        Some("NaN") => f64::NAN,
        Some("Infinity") => f64::INFINITY,
        Some("-Infinity") => f64::NEG_INFINITY,
        _ => json.as_f64().unwrap(),
    }
}

/// What differs between an answer and the table, if anything.
fn difference(case: &Json, answer: &Result<Value, ExpressionError>) -> Option<String> {
    match answer {
        Err(error) => {
            let code = error.message_id().trim_start_matches("expression.");
            let fits = case["err"] == code && case["at"] == error.offset;
            (!fits).then(|| format!("{error} [{code} at {}]", error.offset))
        }
        Ok(value) => {
            let (s, n, b) = (value.to_text(OFFSET_MINUTES), value.to_number(OFFSET_MINUTES), value.to_bool());
            if case.get("err").is_some() {
                return Some(format!("{s:?} instead of an error"));
            }
            let wanted = number(&case["n"]);
            // functions of angles and powers differ in the last digits between machines
            let same = n == wanted || n.is_nan() && wanted.is_nan() || (n - wanted).abs() <= 1e-12 * wanted.abs();
            let exact_text = case["s"] == *s || !wanted.is_nan() && same && s.len() > 15;
            (!(same && exact_text && case["b"] == b)).then(|| format!("{s:?} {n} {b}"))
        }
    }
}

#[test]
fn every_case_of_the_conformance_table_holds() {
    let contexts: Json = serde_json::from_str(&read("contexts.json")).unwrap();
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in read("expressions.jsonl").lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let context = case["context"].as_str().map_or(Json::Null, |name| contexts[name].clone());
        let expression = case["expression"].as_str().unwrap();
        let answer = evaluate(&answers(&context), expression);
        if let Some(difference) = difference(&case, &answer) {
            wrong.push(format!("{} {expression}: {difference}", case["id"]));
        }
        count += 1;
    }
    assert!(count >= 1000, "the table has only {count} cases");
    assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
}
