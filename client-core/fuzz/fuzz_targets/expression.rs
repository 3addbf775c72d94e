#![no_main]
//! Any text as an expression, over a form in small: a value or an error within the text, and the same each time.

use std::sync::LazyLock;

use doorstep_core::clock::SeededEntropy;
use doorstep_core::form::expression::{Env, JsonAnswers};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

static FORM: LazyLock<JsonAnswers> = LazyLock::new(|| {
    let context = json!({
        "a": "5", "d": "2026-01-05", "t": "10:30", "m": "x y", "p": "26.5 108.3 600 5",
        "r": [{"n": "1", "s": [{"k": "u"}]}, {"n": "", "s": []}],
        "@types": {"a": "int", "d": "date", "t": "time", "m": "select_multiple", "p": "geopoint", "n": "int"},
        "@self": "/data/r[2]/q",
        "@instances": {"l": [{"name": "x", "label": "X"}, {"name": "y", "label": "Y"}]},
        "@choices": {"m": [{"name": "x", "label": "X"}]},
    });
    JsonAnswers::new(&context, -420).expect("the form in small is right")
});

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let evaluate = || {
        let entropy = SeededEntropy::new(1);
        let (now_ms, offset_minutes) = (1_780_333_200_000, -420);
        FORM.evaluate(text, &Env { now_ms, offset_minutes, language: "en", version: "", entropy: &entropy })
    };
    let first = evaluate();
    if let Err(error) = &first {
        assert!(error.offset <= text.len() && text.is_char_boundary(error.offset));
        assert_ne!(error.message("zh"), error.message("en"));
    }
    assert_eq!(format!("{first:?}"), format!("{:?}", evaluate()));
});
