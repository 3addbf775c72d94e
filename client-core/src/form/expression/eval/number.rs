//! Numbers.

use super::super::code::{Code, CodeKind};
use super::super::date::DAY_MS;
use super::super::functions::Function;
use super::super::value::Value;
use super::{Cx, Eval, arg};
use crate::clock::random;

impl Cx<'_> {
    pub(super) fn numeric(&self, function: Function, args: &[Code]) -> Eval<Value> {
        use Function as F;
        let number = match function {
            F::Number => self.number(arg(args, 0))?,
            F::Int => truncate(self.number(arg(args, 0))?),
            F::Round => {
                let places = if args.len() > 1 { self.number(arg(args, 1))? as i32 } else { 0 };
                round(self.number(arg(args, 0))?, places)
            }
            F::Floor => self.number(arg(args, 0))?.floor(),
            F::Ceiling => self.number(arg(args, 0))?.ceil(),
            F::Pi => std::f64::consts::PI,
            F::Random => {
                let bits = u64::from_le_bytes(random(self.outer.env.entropy)) >> 11;
                bits as f64 / (1_u64 << 53) as f64
            }
            F::Sum => self.numbers(args)?.into_iter().filter(|n| !n.is_nan()).fold(0.0, |sum, n| sum + n),
            F::Min => extreme(self.numbers(args)?, f64::min),
            F::Max => extreme(self.numbers(args)?, f64::max),
            F::Pow => pow(self.fraction(arg(args, 0))?, self.fraction(arg(args, 1))?),
            F::Atan2 => self.fraction(arg(args, 0))?.atan2(self.fraction(arg(args, 1))?),
            _ => one(function, self.fraction(arg(args, 0))?),
        };
        Ok(Value::Number(number))
    }

    fn numbers(&self, args: &[Code]) -> Eval<Vec<f64>> {
        let mut numbers = Vec::new();
        for arg in args {
            numbers.extend(self.values(arg)?.iter().map(|v| v.to_number(self.offset_minutes())));
        }
        Ok(numbers)
    }

    /// A number; a computed moment keeps its time as a fraction of a day, an answered one doesn't.
    fn fraction(&self, code: &Code) -> Eval<f64> {
        match self.value(code)? {
            Value::Moment(moment) if !matches!(code.kind, CodeKind::Set(_)) => {
                Ok(moment.local_ms(self.offset_minutes()) as f64 / DAY_MS as f64)
            }
            value => Ok(value.to_number(self.offset_minutes())),
        }
    }
}

fn one(function: Function, x: f64) -> f64 {
    use Function as F;
    match function {
        F::Abs => x.abs(),
        F::Sqrt => x.sqrt(),
        F::Exp => x.exp(),
        F::Exp10 => 10_f64.powf(x),
        F::Log => x.ln(),
        F::Log10 => x.log10(),
        F::Sin => x.sin(),
        F::Cos => x.cos(),
        F::Tan => x.tan(),
        F::Asin => x.asin(),
        F::Acos => x.acos(),
        _ => x.atan(),
    }
}

/// The greatest or least number, NaN left out; NaN when there is none.
fn extreme(numbers: Vec<f64>, pick: fn(f64, f64) -> f64) -> f64 {
    numbers.into_iter().filter(|n| !n.is_nan()).reduce(pick).unwrap_or(f64::NAN)
}

/// `pow` as on the web and in Java: NaN also for `1` to the power of NaN or infinity.
fn pow(base: f64, exponent: f64) -> f64 {
    if exponent.is_nan() || exponent.is_infinite() && base.abs() == 1.0 {
        return f64::NAN;
    }
    base.powf(exponent)
}

/// `int`: toward zero.
pub(super) fn truncate(x: f64) -> f64 {
    x.trunc()
}

/// `round`, on the decimal digits as they print: a half goes up, also of negative numbers.
pub(super) fn round(x: f64, places: i32) -> f64 {
    if !x.is_finite() {
        return x;
    }
    if !(-30..=30).contains(&places) {
        return f64::NAN;
    }
    if places >= 0 {
        return round_digits(x, usize::try_from(places).unwrap_or(0));
    }
    // as JavaRosa: half a unit is added, then what is left of it cut, also for negative numbers
    let scaled: f64 = format!("{x}e{places}").parse().unwrap_or(f64::NAN);
    let units = (scaled + 0.5) as i64;
    format!("{units}e{}", -places).parse().unwrap_or(f64::NAN)
}

fn round_digits(x: f64, places: usize) -> f64 {
    let text = format!("{}", x.abs());
    let Some((whole, fraction)) = text.split_once('.') else { return x };
    let Some(dropped) = fraction.get(places..).filter(|d| !d.is_empty()) else { return x };
    let half = dropped.strip_prefix('5').map(|rest| rest.bytes().all(|b| b == b'0'));
    let up = match half {
        Some(true) => x > 0.0,
        Some(false) => true,
        None => dropped.as_bytes()[0] > b'5',
    };
    let mut digits: Vec<u8> = whole.bytes().chain(fraction[..places].bytes()).collect();
    if up {
        for at in (0..digits.len()).rev() {
            if digits[at] < b'9' {
                digits[at] += 1;
                break;
            }
            digits[at] = b'0';
            if at == 0 {
                digits.insert(0, b'1');
            }
        }
    }
    let sign = if x < 0.0 { "-" } else { "" };
    let digits = String::from_utf8(digits).unwrap_or_default();
    format!("{sign}{digits}e-{places}").parse::<f64>().unwrap_or(f64::NAN) + 0.0
}
