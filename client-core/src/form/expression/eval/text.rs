//! Texts, counted in UTF-16 units as ODK's engines do.

use std::sync::Arc;

use super::super::RESULT_BYTES_MAX;
use super::super::code::Code;
use super::super::error::{ExpressionError, Fault};
use super::super::functions::Function;
use super::super::pattern;
use super::super::value::Value;
use super::{Cx, Eval, arg, fail};
use crate::clock::random;

/// The longest `uuid(n)`.
const UUID_LENGTH_MAX: i32 = 1024;

impl Cx<'_> {
    pub(super) fn textual(&self, at: usize, function: Function, args: &[Code]) -> Eval<Value> {
        use Function as F;
        let text = |index: usize| self.text(arg(args, index));
        Ok(match function {
            F::String => Value::Text(text(0)?),
            F::Concat => self.join(at, "", args)?,
            F::Join => self.join(at, &text(0)?, args.get(1..).unwrap_or_default())?,
            F::Substr => self.substr(args)?,
            F::Substring => self.substring(args)?,
            F::SubstringBefore => {
                let (whole, part) = (text(0)?, text(1)?);
                whole.find(&*part).map_or_else(Value::blank, |i| Value::text(&whole[..i]))
            }
            F::SubstringAfter => {
                let (whole, part) = (text(0)?, text(1)?);
                whole.find(&*part).map_or_else(Value::blank, |i| Value::text(&whole[i + part.len()..]))
            }
            F::StringLength => Value::Number(self.text_or_own(args)?.encode_utf16().count() as f64),
            F::NormalizeSpace => {
                let own = self.text_or_own(args)?;
                let words: Vec<&str> = own.split(|c: char| c <= ' ').filter(|w| !w.is_empty()).collect();
                Value::text(words.join(" "))
            }
            F::Translate => Value::text(translate(&text(0)?, &text(1)?, &text(2)?)),
            F::Contains => Value::Bool(text(0)?.contains(&*text(1)?)),
            F::StartsWith => Value::Bool(text(0)?.starts_with(&*text(1)?)),
            F::EndsWith => Value::Bool(text(0)?.ends_with(&*text(1)?)),
            F::Regex => {
                let (subject, source) = (text(0)?, text(1)?);
                let compiled = pattern::compile(&source).map_err(|fault| ExpressionError::new(at, fault))?;
                Value::Bool(compiled.is_match(&subject))
            }
            _ => self.uuid(args)?,
        })
    }

    fn text_or_own(&self, args: &[Code]) -> Eval<Arc<str>> {
        match args.first() {
            Some(code) => self.text(code),
            None => Ok(self.own_value().to_text(self.offset_minutes())),
        }
    }

    fn join(&self, at: usize, separator: &str, args: &[Code]) -> Eval<Value> {
        let mut joined = String::new();
        let mut first = true;
        for code in args {
            for value in self.values(code)? {
                if !std::mem::take(&mut first) {
                    joined.push_str(separator);
                }
                joined.push_str(&value.to_text(self.offset_minutes()));
                if joined.len() > RESULT_BYTES_MAX {
                    return fail(at, Fault::ResultTooLong);
                }
            }
        }
        Ok(Value::text(joined))
    }

    /// From 0; negative counts from the end; the end isn't included.
    fn substr(&self, args: &[Code]) -> Eval<Value> {
        let units: Vec<u16> = self.text(arg(args, 0))?.encode_utf16().collect();
        let length = i32::try_from(units.len()).unwrap_or(i32::MAX);
        let place = |n: f64| {
            let n = n as i32;
            if n < 0 { length.saturating_add(n) } else { n }.clamp(0, length)
        };
        let start = place(self.number(arg(args, 1))?);
        let end = if args.len() > 2 { place(self.number(arg(args, 2))?) } else { length };
        Ok(slice(&units, start, end))
    }

    /// XPath's: from 1, with a length; bounds are rounded.
    fn substring(&self, args: &[Code]) -> Eval<Value> {
        let units: Vec<u16> = self.text(arg(args, 0))?.encode_utf16().collect();
        let length = units.len() as f64;
        let half_up = |n: f64| (n + 0.5).floor();
        let start = half_up(self.number(arg(args, 1))?);
        let end = if args.len() > 2 { start + half_up(self.number(arg(args, 2))?) } else { f64::INFINITY };
        if start.is_nan() || end.is_nan() {
            return Ok(Value::blank());
        }
        let place = |n: f64| (n - 1.0).clamp(0.0, length) as i32;
        Ok(slice(&units, place(start), place(end)))
    }

    fn uuid(&self, args: &[Code]) -> Eval<Value> {
        let Some(length) = args.first() else {
            let mut bytes: [u8; 16] = random(self.outer.env.entropy);
            bytes[6] = bytes[6] & 0x0f | 0x40;
            bytes[8] = bytes[8] & 0x3f | 0x80;
            let hex = data_encoding::HEXLOWER.encode(&bytes);
            let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
            return Ok(Value::text(parts.join("-")));
        };
        let length = (self.number(length)? as i32).clamp(0, UUID_LENGTH_MAX);
        let signs: String = (0..length).map(|_| self.random_sign()).collect();
        Ok(Value::text(signs))
    }

    fn random_sign(&self) -> char {
        const SIGNS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let draw = u32::from_le_bytes(random(self.outer.env.entropy));
        char::from(SIGNS[draw as usize % SIGNS.len()])
    }
}

fn slice(units: &[u16], start: i32, end: i32) -> Value {
    let (start, end) = (usize::try_from(start).unwrap_or(0), usize::try_from(end).unwrap_or(0));
    units.get(start..end).map_or_else(Value::blank, |part| Value::text(String::from_utf16_lossy(part)))
}

fn translate(text: &str, from: &str, to: &str) -> String {
    let to: Vec<char> = to.chars().collect();
    let replaced = |c: char| match from.chars().position(|f| f == c) {
        None => Some(c),
        Some(at) => to.get(at).copied(),
    };
    text.chars().filter_map(replaced).collect()
}
