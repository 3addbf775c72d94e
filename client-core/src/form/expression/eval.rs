//! Evaluation: a walk over the resolved expression. Nothing is parsed here but computed patterns and date formats.

mod compare;
mod digest;
mod logic;
mod moment;
mod number;
mod place;
mod select;
mod sets;
mod text;

use std::cell::Cell;

use super::VISITS_MAX;
use super::code::{Code, CodeKind, ItemFilter, SetCode};
use super::data::{Context, Spot};
use super::error::{ExpressionError, Fault};
use super::functions::Function;
use super::syntax::Operator;
use super::table::{Table, TableId};
use super::value::Value;
use sets::Set;

type Eval<T> = Result<T, ExpressionError>;

pub(super) fn value(code: &Code, context: &Context<'_>) -> Eval<Value> {
    Cx::new(context, &Cell::new(0)).value(code)
}

pub(super) fn nodes(code: &Code, context: &Context<'_>) -> Eval<Vec<Spot>> {
    let visits = Cell::new(0);
    let cx = Cx::new(context, &visits);
    match &code.kind {
        CodeKind::Set(set) => match cx.set(code.at, set)? {
            Set::Nodes(nodes) => Ok(nodes),
            Set::Rows(..) => Ok(Vec::new()),
        },
        _ => Ok(Vec::new()),
    }
}

pub(super) fn items(table: TableId, filter: &ItemFilter, context: &Context<'_>) -> Eval<Vec<u32>> {
    let Some(table) = context.data.table(table) else { return Ok(Vec::new()) };
    let visits = Cell::new(0);
    Cx::new(context, &visits).filter_items(table, None, filter)
}

/// What `.` stands for.
#[derive(Clone, Copy)]
enum Item<'a> {
    /// The asking node.
    Asker,
    /// The node that a filter stands on.
    Node(Spot),
    /// The item of a table that a filter stands on, or its cell.
    Row(&'a Table, u32, Option<usize>),
}

/// A place in an evaluation.
#[derive(Clone, Copy)]
struct Cx<'a> {
    outer: &'a Context<'a>,
    item: Item<'a>,
    /// Which of how many, in a filter; from 1.
    place: Option<(u32, u32)>,
    visits: &'a Cell<u64>,
}

impl<'a> Cx<'a> {
    fn new(outer: &'a Context<'a>, visits: &'a Cell<u64>) -> Self {
        Self { outer, item: Item::Asker, place: None, visits }
    }

    fn offset_minutes(&self) -> i32 {
        self.outer.env.offset_minutes
    }

    fn visit(&self, at: usize, many: usize) -> Eval<()> {
        let visits = self.visits.get() + many as u64;
        self.visits.set(visits);
        if visits > VISITS_MAX { fail(at, Fault::TooMuchWork) } else { Ok(()) }
    }

    fn value(&self, code: &Code) -> Eval<Value> {
        self.visit(code.at, 1)?;
        match &code.kind {
            CodeKind::Value(value) => Ok(value.clone()),
            CodeKind::Set(set) => self.first(code.at, set),
            CodeKind::Chain(first, rest) => self.chain(first, rest),
            CodeKind::Negate(inner) => Ok(Value::Number(-self.number(inner)?)),
            CodeKind::Call(function, arguments) => self.call(code.at, *function, arguments),
            CodeKind::Matches(subject, pattern) => Ok(Value::Bool(pattern.is_match(&self.text(subject)?))),
            CodeKind::ChoiceName(value, question) => self.choice_name(value, question),
            CodeKind::Pulldata(pulldata) => self.pulldata(pulldata),
            CodeKind::LastSaved(node) => Ok(self.outer.data.last_saved(*node)),
        }
    }

    fn number(&self, code: &Code) -> Eval<f64> {
        Ok(self.value(code)?.to_number(self.offset_minutes()))
    }

    fn text(&self, code: &Code) -> Eval<std::sync::Arc<str>> {
        Ok(self.value(code)?.to_text(self.offset_minutes()))
    }

    fn test(&self, code: &Code) -> Eval<bool> {
        Ok(self.value(code)?.to_bool())
    }

    fn chain(&self, first: &Code, rest: &[(Operator, Code)]) -> Eval<Value> {
        let mut left = self.value(first)?;
        for (operator, code) in rest {
            left = match operator {
                Operator::Or => Value::Bool(left.to_bool() || self.test(code)?),
                Operator::And => Value::Bool(left.to_bool() && self.test(code)?),
                operator => {
                    let right = self.value(code)?;
                    compare::apply(*operator, &left, &right, self.offset_minutes())
                }
            };
        }
        Ok(left)
    }

    fn call(&self, at: usize, function: Function, args: &[Code]) -> Eval<Value> {
        use Function as F;
        match function {
            F::True
            | F::False
            | F::Boolean
            | F::BooleanFromString
            | F::Not
            | F::If
            | F::Coalesce
            | F::Once
            | F::Checklist
            | F::WeightedChecklist
            | F::Version
            | F::Property => self.logic(at, function, args),
            F::Number
            | F::Int
            | F::Round
            | F::Floor
            | F::Ceiling
            | F::Abs
            | F::Pow
            | F::Sqrt
            | F::Exp
            | F::Exp10
            | F::Log
            | F::Log10
            | F::Sin
            | F::Cos
            | F::Tan
            | F::Asin
            | F::Acos
            | F::Atan
            | F::Atan2
            | F::Pi
            | F::Random
            | F::Sum
            | F::Min
            | F::Max => self.numeric(function, args),
            F::Count
            | F::CountNonEmpty
            | F::Position
            | F::Last
            | F::IndexedRepeat
            | F::Randomize
            | F::Current
            | F::Instance => self.about_sets(at, function, args),
            F::String
            | F::Concat
            | F::Join
            | F::Substr
            | F::Substring
            | F::SubstringBefore
            | F::SubstringAfter
            | F::StringLength
            | F::NormalizeSpace
            | F::Translate
            | F::Contains
            | F::StartsWith
            | F::EndsWith
            | F::Regex
            | F::Uuid => self.textual(at, function, args),
            F::Digest | F::Base64Decode | F::ExtractSigned => self.digest(at, function, args),
            F::Today
            | F::Now
            | F::Date
            | F::DateTime
            | F::DecimalDateTime
            | F::DecimalTime
            | F::FormatDate
            | F::FormatDateTime => self.of_time(at, function, args),
            F::Selected | F::IsSelected | F::CountSelected | F::SelectedAt | F::ChoiceName | F::Pulldata => {
                self.of_choices(function, args)
            }
            F::Distance | F::Area | F::EnclosedArea | F::Geofence => self.of_places(at, function, args),
        }
    }

    /// All values of an argument: those of a set, or the one value.
    fn values(&self, code: &Code) -> Eval<Vec<Value>> {
        let CodeKind::Set(set) = &code.kind else { return Ok(vec![self.value(code)?]) };
        self.set_values(code.at, set)
    }

    /// The value that `.` stands for.
    fn own_value(&self) -> Value {
        match self.item {
            Item::Asker => self.value_at(self.outer.at, true),
            Item::Node(spot) => self.value_at(spot, false),
            Item::Row(table, row, column) => column.map_or_else(Value::blank, |c| Value::Text(table.cell(row, c))),
        }
    }

    /// A node's value; the asker's own is the candidate in a constraint.
    fn value_at(&self, spot: Spot, own: bool) -> Value {
        match self.outer.candidate {
            Some(candidate) if own || spot == self.outer.at => candidate.clone(),
            _ => self.outer.data.value(spot.node, spot.rows.as_slice()),
        }
    }
}

fn fail<T>(at: usize, fault: Fault) -> Eval<T> {
    Err(ExpressionError::new(at, fault))
}

/// What `call` and the functions by group share: an argument that the number of arguments promised.
fn arg(args: &[Code], index: usize) -> &Code {
    static BLANK: std::sync::LazyLock<Code> =
        std::sync::LazyLock::new(|| Code { at: 0, kind: CodeKind::Set(SetCode::Empty) });
    args.get(index).unwrap_or(&BLANK)
}
