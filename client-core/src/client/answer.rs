//! Answers given as text: on the command line, by scripts, in tests.

use std::sync::Arc;

use crate::form::{AnswerError, AnswerKey, Form, QuestionKind};
use crate::record::Value;

use super::PhoneError;

/// Turns a text into the answers under `key`: a blank clears; integers, decimals and marks are parsed; a multiple choice is
/// a list of its ticks separated by blanks and gives one answer for each choice of the list.
pub fn parse(form: &Form, key: &str, text: &str) -> Result<Vec<(String, Value)>, PhoneError> {
    if key.contains("/@") {
        return Ok(vec![(key.to_owned(), bookkeeping(text))]);
    }
    let question = form.question_of(key).ok_or_else(|| PhoneError::UnknownQuestion(key.to_owned()))?;
    if let QuestionKind::SelectMultiple = question.kind {
        if !key.contains('=') {
            let names = form.choice_names(question).unwrap_or_default();
            let ticks: Vec<&str> = text.split_whitespace().collect();
            if ticks.iter().any(|t| names.iter().all(|name| **name != **t)) {
                return Err(AnswerError::UnknownChoice.into());
            }
            let tick = |name: &Arc<str>| (AnswerKey::tick(key, name), Value::Bool(ticks.contains(&&**name)));
            return Ok(names.iter().map(tick).collect());
        }
        return Ok(vec![(key.to_owned(), Value::Bool(text == "true"))]);
    }
    if text.is_empty() {
        return Ok(vec![(key.to_owned(), Value::Blank)]);
    }
    let value = match question.kind {
        QuestionKind::Integer => text.parse().map(Value::Int).unwrap_or_else(|_| Value::Text(text.to_owned())),
        QuestionKind::Decimal | QuestionKind::Range => number(text),
        QuestionKind::Acknowledge => Value::Bool(matches!(text, "true" | "OK" | "ok" | "1")),
        _ => Value::Text(text.to_owned()),
    };
    Ok(vec![(key.to_owned(), value)])
}

fn number(text: &str) -> Value {
    match text.parse::<f64>() {
        Ok(n) if n.is_finite() => Value::Number(n),
        _ => Value::Text(text.to_owned()),
    }
}

/// Order (a number) or removal (a mark) of a repeat instance.
fn bookkeeping(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text.parse().map(Value::Int).unwrap_or(Value::Blank),
    }
}
