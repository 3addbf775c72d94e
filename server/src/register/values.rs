//! From a cell to an answer of the form, or to what is wrong with it.

use doorstep_core::form::import::grid::CellKind;
use doorstep_core::record::Value;

use super::clean::{self, DateFault, IdFault};
use super::fault::Fault;
use super::schema::{Field, FieldKind, Schema};
use super::sheet::Cell;

/// The text of a cell that clears an answer. A blank cell leaves the answer as it is.
pub const CLEAR: &str = "-清空-";

/// What a cell says.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// An answer.
    Value(Value),
    /// The choices that are ticked; all others aren't.
    Ticks(Vec<String>),
    /// The answer is to be cleared.
    Clear,
}

/// The text without the apostrophe that keeps it from being a formula.
pub(super) fn unguarded(text: &str) -> &str {
    text.strip_prefix('\'').filter(|rest| rest.starts_with(['=', '+', '-', '@'])).unwrap_or(text)
}

/// Signs that people put where there is nothing to say.
fn is_nothing(text: &str) -> bool {
    text.chars().all(|c| matches!(c, '/' | '\\' | '-' | '—' | '–' | '_' | '－'))
}

/// Reads a cell of a field; `None` when it says nothing.
pub fn given(schema: &Schema, at: usize, cell: Cell<'_>, row: usize) -> Result<Option<Given>, Fault> {
    let field = &schema.fields[at];
    let cell = Cell { text: unguarded(cell.text), ..cell };
    let tidy = clean::tidy(cell.text);
    if tidy == CLEAR {
        return Ok(Some(Given::Clear));
    }
    if tidy.is_empty() || is_nothing(&tidy) {
        return Ok(None);
    }
    let fault = |code| Fault::new(code, row).at(cell.column);
    if cell.kind == CellKind::Error || (tidy.starts_with('#') && is_error(&tidy)) {
        return Err(fault("error_cell").with("value", tidy));
    }
    let none = matches!(tidy.as_str(), "无" | "没有" | "暂无" | "none" | "None");
    if none && field.kind != FieldKind::Text && field.choice(&tidy).is_none() {
        return Ok(None);
    }
    let value = match field.kind {
        FieldKind::Many => return ticks(schema, field, &tidy, row, cell).map(|t| Some(Given::Ticks(t))),
        FieldKind::Name => {
            let name = clean::name(cell.text);
            if clean::has_lost_character(&name) {
                return Err(fault("lost_character"));
            }
            Value::Text(name)
        }
        FieldKind::Id => {
            let stored = cell.kind == CellKind::Number;
            Value::Text(clean::id_number(cell.text, stored).map_err(|wrong| fault(id_code(wrong)))?)
        }
        FieldKind::Code => Value::Text(code(cell).ok_or_else(|| fault("digits_lost"))?),
        FieldKind::Text => Value::Text(tidy.clone()),
        FieldKind::Date => Value::Text(clean::date(cell.text).map_err(|wrong| match wrong {
            DateFault::NoDay => fault("date_without_day"),
            DateFault::Malformed => fault("not_a_date").with("value", &tidy),
        })?),
        FieldKind::Integer | FieldKind::Decimal => number(field.kind, &tidy).ok_or_else(|| {
            fault(if field.kind == FieldKind::Integer { "not_whole" } else { "not_a_number" }).with("value", &tidy)
        })?,
        FieldKind::One => {
            Value::Text(field.choice(&tidy).ok_or_else(|| unknown(schema, field, &tidy, row, cell))?.to_owned())
        }
    };
    let checked = schema.form.check_answer(&schema.key(at, "a"), &value);
    checked.map_err(|_| fault("bad_value").with("value", tidy))?;
    Ok(Some(Given::Value(value)))
}

fn is_error(text: &str) -> bool {
    ["#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!"].contains(&text)
}

/// The code of what is wrong with an ID number.
pub fn id_code(wrong: IdFault) -> &'static str {
    match wrong {
        IdFault::DigitsLost => "id_digits_lost",
        IdFault::Old => "id_old",
        IdFault::Malformed => "id_malformed",
        IdFault::Check => "id_check",
        IdFault::Birthday => "id_birthday",
    }
}

/// A number that names something; `None` when its digits are lost.
pub fn code(cell: Cell<'_>) -> Option<String> {
    let code = clean::code(cell.text);
    let lost = clean::is_exponential(&code) || (cell.kind == CellKind::Number && code.len() > 15);
    (!lost).then_some(code)
}

fn number(kind: FieldKind, text: &str) -> Option<Value> {
    let number = clean::number(text)?;
    let whole = number.fract() == 0.0 && number.abs() < 1e15;
    match kind {
        FieldKind::Integer if !whole => None,
        _ if whole => Some(Value::Int(number as i64)),
        _ => Some(Value::from(number)),
    }
}

fn ticks(schema: &Schema, field: &Field, text: &str, row: usize, cell: Cell<'_>) -> Result<Vec<String>, Fault> {
    if let Some(choice) = field.choice(text) {
        return Ok(vec![choice.to_owned()]);
    }
    let parts = text.split(['、', '，', ',', ';', '；', '/', '|', '\n', '+']).map(str::trim).filter(|p| !p.is_empty());
    let mut ticks = Vec::new();
    for part in parts {
        match field.choice(part) {
            Some(choice) => ticks.push(choice.to_owned()),
            // names of choices are separated by spaces in other programs' files
            None if part.contains(' ') => {
                for word in part.split_whitespace() {
                    ticks.push(field.choice(word).ok_or_else(|| unknown(schema, field, word, row, cell))?.to_owned());
                }
            }
            None => return Err(unknown(schema, field, part, row, cell)),
        }
    }
    ticks.sort_unstable();
    ticks.dedup();
    Ok(ticks)
}

fn unknown(schema: &Schema, field: &Field, text: &str, row: usize, cell: Cell<'_>) -> Fault {
    let language = &schema.form.def().default_language;
    let labels: Vec<&str> = field.choices.iter().take(12).map(|c| field.label_of(&schema.form, c, language)).collect();
    Fault::new("unknown_choice", row).at(cell.column).with("value", text).with("choices", labels.join("、"))
}

/// True when two values say the same; whole numbers may be stored either way.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Int(int), Value::Number(number)) | (Value::Number(number), Value::Int(int)) => *int as f64 == *number,
        (a, b) => a == b,
    }
}
