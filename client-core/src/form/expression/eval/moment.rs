//! Days and times.

use super::super::code::Code;
use super::super::data::Warning;
use super::super::date::{DAY_MS, Moment};
use super::super::error::{ExpressionError, Fault};
use super::super::functions::Function;
use super::super::value::Value;
use super::{Cx, Eval, arg, fail};

impl Cx<'_> {
    pub(super) fn of_time(&self, at: usize, function: Function, args: &[Code]) -> Eval<Value> {
        let offset = self.offset_minutes();
        let now = Moment::Instant(self.outer.env.now_ms);
        Ok(match function {
            Function::Now => Value::Moment(now),
            Function::Today => Value::Moment(Moment::Day(now.local_day(offset))),
            Function::Date => match self.moment(at, arg(args, 0), false)? {
                Some(moment) => Value::Moment(moment),
                None => self.value_if_nan(arg(args, 0))?,
            },
            Function::DateTime => match self.moment(at, arg(args, 0), true)? {
                Some(moment) => Value::Moment(moment),
                None => self.value_if_nan(arg(args, 0))?,
            },
            Function::DecimalDateTime | Function::DecimalTime => {
                self.decimal(at, function == Function::DecimalDateTime, arg(args, 0))?
            }
            _ => match self.moment(at, arg(args, 0), true)? {
                None => Value::blank(),
                Some(moment) => {
                    let format = self.text(arg(args, 1))?;
                    let formatted = moment.format(&format, offset, self.outer.env.language);
                    Value::text(formatted.map_err(|fault| ExpressionError::new(at, fault))?)
                }
            },
        })
    }

    /// A value as a moment; `None` for blank, NaN, and text that isn't a date (a warning). Numbers are days since 1970.
    fn moment(&self, at: usize, code: &Code, keep_time: bool) -> Eval<Option<Moment>> {
        let offset = self.offset_minutes();
        match self.value(code)? {
            Value::Text(text) if text.is_empty() => Ok(None),
            Value::Text(text) => self.read(at, &text),
            Value::Number(n) if n.is_nan() => Ok(None),
            Value::Number(n) if n.abs() > f64::from(i32::MAX) => fail(at, Fault::NotADate),
            Value::Number(n) if keep_time => Ok(Some(Moment::Instant((n * DAY_MS as f64) as i64))),
            Value::Number(n) => Ok(Some(Moment::Day(n as i64))),
            Value::Bool(_) => fail(at, Fault::NotADate),
            Value::Moment(moment @ Moment::Instant(_)) if !keep_time => Ok(Some(Moment::Day(moment.local_day(offset)))),
            Value::Moment(moment) => Ok(Some(moment)),
        }
    }

    /// A time of day stands on today where a day is asked.
    fn on_a_day(&self, moment: Moment) -> Moment {
        let offset = self.offset_minutes();
        match moment {
            Moment::Time(ms) => {
                let today = Moment::Instant(self.outer.env.now_ms).local_day(offset);
                Moment::Instant(today * DAY_MS + ms - i64::from(offset) * 60_000)
            }
            moment => moment,
        }
    }

    fn read(&self, at: usize, text: &str) -> Eval<Option<Moment>> {
        let offset = self.offset_minutes();
        let read = Moment::parse(text, offset).map_err(|fault| ExpressionError::new(at, fault))?;
        if read.is_none() {
            self.outer.data.warn(Warning::NotADate);
        }
        Ok(read)
    }

    /// Blank stays blank, NaN stays NaN.
    fn value_if_nan(&self, code: &Code) -> Eval<Value> {
        Ok(match self.value(code)? {
            Value::Number(n) => Value::Number(n),
            _ => Value::blank(),
        })
    }

    fn decimal(&self, at: usize, keep_date: bool, code: &Code) -> Eval<Value> {
        let offset = self.offset_minutes();
        let moment = match self.value(code)? {
            Value::Number(n) if n.is_nan() => return Ok(Value::Number(n)),
            Value::Number(n) if n.abs() > f64::from(i32::MAX) => return fail(at, Fault::NotADate),
            Value::Number(n) => return Ok(Value::Number(if keep_date { n } else { n - n.floor() })),
            Value::Bool(_) => return fail(at, Fault::NotADate),
            Value::Text(text) if text.is_empty() => None,
            Value::Text(text) => match Moment::parse_time(&text, offset) {
                Some(ms) => Some(Moment::Time(ms)),
                None => self.read(at, &text)?,
            },
            Value::Moment(moment) => Some(moment),
        };
        Ok(match moment {
            None => Value::blank(),
            Some(moment) if keep_date => Value::Number(self.on_a_day(moment).decimal_date_time(offset)),
            Some(moment) => Value::Number(moment.decimal_time(offset)),
        })
    }
}
