//! Operators between two values.

use super::super::date::Moment;
use super::super::syntax::Operator;
use super::super::value::{EPSILON, Value};

pub(super) fn apply(operator: Operator, left: &Value, right: &Value, offset: i32) -> Value {
    match operator {
        Operator::Equal => Value::Bool(equal(left, right, offset)),
        Operator::NotEqual => Value::Bool(!equal(left, right, offset)),
        _ => {
            let (a, b) = numbers(operator, left, right, offset);
            match operator {
                Operator::Less => Value::Bool(a < b),
                Operator::LessEqual => Value::Bool(a <= b),
                Operator::Greater => Value::Bool(a > b),
                Operator::GreaterEqual => Value::Bool(a >= b),
                Operator::Add => Value::Number(a + b),
                Operator::Subtract => Value::Number(a - b),
                Operator::Multiply => Value::Number(a * b),
                Operator::Divide => Value::Number(a / b),
                _ => Value::Number(a % b),
            }
        }
    }
}

/// Truth values before numbers before texts. Moments compare as their texts, so by day; times by the clock.
pub(super) fn equal(left: &Value, right: &Value, offset: i32) -> bool {
    match (left, right) {
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::Bool(_), _) | (_, Value::Bool(_)) => left.to_bool() == right.to_bool(),
        (Value::Number(_), _) | (_, Value::Number(_)) => {
            (left.to_number(offset) - right.to_number(offset)).abs() < EPSILON
        }
        (Value::Moment(Moment::Time(a)), Value::Moment(Moment::Time(b))) => a == b,
        (Value::Moment(moment), Value::Text(text)) | (Value::Text(text), Value::Moment(moment)) => {
            *moment.to_text(offset) == **text
                || beside(*moment, text, offset).is_some_and(|other| match (moment, other) {
                    (Moment::Instant(a), Moment::Instant(b)) => *a == b,
                    (Moment::Time(a), Moment::Time(b)) => *a == b,
                    (Moment::Day(a), Moment::Day(b)) => *a == b,
                    _ => false,
                })
        }
        (Value::Moment(a), Value::Moment(b)) => a.to_text(offset) == b.to_text(offset),
    }
}

/// Both sides as numbers; an ISO text beside a moment is a moment, except under `*`, `div` and `mod`.
fn numbers(operator: Operator, left: &Value, right: &Value, offset: i32) -> (f64, f64) {
    let dates = !matches!(operator, Operator::Multiply | Operator::Divide | Operator::Modulo);
    let number = |value: &Value, other: &Value| {
        if let (Value::Text(text), Value::Moment(moment), true) = (value, other, dates)
            && let Some(read) = beside(*moment, text, offset)
        {
            return read.to_number(offset);
        }
        value.to_number(offset)
    };
    (number(left, right), number(right, left))
}

/// The moment that a text says, beside another one.
fn beside(other: Moment, text: &str, offset: i32) -> Option<Moment> {
    match other {
        Moment::Time(_) => Moment::parse_time(text, offset).map(Moment::Time),
        _ => Moment::parse(text, offset).ok().flatten(),
    }
}
