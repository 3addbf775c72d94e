//! Truth values and choices between values.

use super::super::code::{Code, CodeKind};
use super::super::error::Fault;
use super::super::functions::Function;
use super::super::value::Value;
use super::{Cx, Eval, arg, fail};

impl Cx<'_> {
    pub(super) fn logic(&self, at: usize, function: Function, args: &[Code]) -> Eval<Value> {
        Ok(match function {
            Function::True => Value::Bool(true),
            Function::False => Value::Bool(false),
            Function::Boolean => Value::Bool(self.test(arg(args, 0))?),
            Function::Not => Value::Bool(!self.test(arg(args, 0))?),
            Function::BooleanFromString => {
                let text = self.text(arg(args, 0))?;
                Value::Bool(text.eq_ignore_ascii_case("true") || &*text == "1")
            }
            Function::If => self.value(arg(args, if self.test(arg(args, 0))? { 1 } else { 2 }))?,
            Function::Coalesce => match self.value(arg(args, 0))? {
                Value::Number(n) if n.is_nan() => self.value(arg(args, 1))?,
                value if value.is_blank() => self.value(arg(args, 1))?,
                value => value,
            },
            Function::Once => match self.own_value() {
                own if own.is_blank() => self.value(arg(args, 0))?,
                own => own,
            },
            Function::Version => Value::text(self.outer.env.version),
            Function::Property => self.outer.data.property(&self.text(arg(args, 0))?),
            Function::Checklist => Value::Bool(self.checklist(args)?),
            _ => Value::Bool(self.weighted_checklist(at, args)?),
        })
    }

    /// Whether the number of true factors is within bounds; a negative bound is none.
    fn checklist(&self, args: &[Code]) -> Eval<bool> {
        let (min, max) = (self.number(arg(args, 0))? as i32, self.number(arg(args, 1))? as i32);
        let mut count = 0;
        for factor in args.iter().skip(2) {
            count += self.values(factor)?.iter().filter(|v| v.to_bool()).count();
        }
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        Ok((min < 0 || count >= min) && (max < 0 || count <= max))
    }

    /// Whether the sum of the weights of true factors is within bounds; here -1 is a bound like any other.
    fn weighted_checklist(&self, at: usize, args: &[Code]) -> Eval<bool> {
        let (min, max) = (self.number(arg(args, 0))?, self.number(arg(args, 1))?);
        let mut sum = 0.0;
        let is_set = |code: &Code| matches!(code.kind, CodeKind::Set(_));
        for pair in args.get(2..).unwrap_or_default().chunks(2) {
            let (factors, weights) = match pair {
                [a, b] if args.len() == 4 && is_set(a) && is_set(b) => (self.values(a)?, self.values(b)?),
                [a, b] => (vec![self.value(a)?], vec![self.value(b)?]),
                _ => continue,
            };
            if factors.len() != weights.len() {
                return fail(at, Fault::UnequalSets);
            }
            for (factor, weight) in factors.iter().zip(&weights) {
                if factor.to_bool() {
                    sum += weight.to_number(self.offset_minutes());
                }
            }
        }
        Ok(sum >= min && sum <= max)
    }
}
