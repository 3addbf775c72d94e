//! The scalar values of answers.

use automerge::ScalarValue;
use serde::{Deserialize, Serialize};

use super::limits;

/// One answer's value. As JSON it is a plain scalar.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Cleared, or left empty on purpose: null.
    Blank,
    /// A tick, or yes and no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A finite number; never negative zero.
    Number(f64),
    /// A text of at most 32 KiB, without the sign U+0000.
    Text(String),
}

impl Value {
    /// As JSON.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Blank => serde_json::Value::Null,
            Self::Bool(b) => (*b).into(),
            Self::Int(i) => (*i).into(),
            Self::Number(n) => (*n).into(),
            Self::Text(text) => text.as_str().into(),
        }
    }

    /// True when the value is within the limits.
    pub fn is_valid(&self) -> bool {
        match self {
            Self::Blank | Self::Bool(_) | Self::Int(_) => true,
            Self::Number(n) => n.is_finite() && !(*n == 0.0 && n.is_sign_negative()),
            // no database and no XML takes the sign with the number 0
            Self::Text(text) => text.len() <= limits::TEXT_BYTES && !text.contains('\0'),
        }
    }

    pub(super) fn from_scalar(scalar: &ScalarValue) -> Option<Self> {
        Some(match scalar {
            ScalarValue::Null => Self::Blank,
            ScalarValue::Boolean(b) => Self::Bool(*b),
            ScalarValue::Int(i) => Self::Int(*i),
            ScalarValue::F64(n) => Self::Number(*n),
            ScalarValue::Str(text) => Self::Text(text.to_string()),
            _ => return None,
        })
    }

    pub(super) fn to_scalar(&self) -> ScalarValue {
        match self {
            Self::Blank => ScalarValue::Null,
            Self::Bool(b) => ScalarValue::Boolean(*b),
            Self::Int(i) => ScalarValue::Int(*i),
            Self::Number(n) => ScalarValue::F64(*n),
            Self::Text(text) => ScalarValue::Str(text.as_str().into()),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<f64> for Value {
    /// Negative zero becomes zero, a number that isn't finite a blank.
    fn from(value: f64) -> Self {
        if !value.is_finite() {
            Self::Blank
        } else if value == 0.0 {
            Self::Number(0.0)
        } else {
            Self::Number(value)
        }
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}
