//! Choices: what is selected, labels, look-ups in files.

use super::super::code::{Code, NodePath, Pulldata};
use super::super::data::{Spot, Warning};
use super::super::functions::Function;
use super::super::value::Value;
use super::{Cx, Eval, arg};

impl Cx<'_> {
    pub(super) fn of_choices(&self, function: Function, args: &[Code]) -> Eval<Value> {
        let list = self.text(arg(args, 0))?;
        let mut words = list.split(|c: char| c <= ' ').filter(|w| !w.is_empty());
        Ok(match function {
            Function::CountSelected => Value::Number(words.count() as f64),
            Function::SelectedAt => {
                let index = self.number(arg(args, 1))? as i32;
                let word = usize::try_from(index).ok().and_then(|i| words.nth(i));
                word.map_or_else(Value::blank, Value::text)
            }
            _ => {
                let wanted = self.text(arg(args, 1))?;
                let wanted = wanted.trim_matches(|c: char| c <= ' ');
                let found = if wanted.is_empty() { words.next().is_none() } else { words.any(|w| w == wanted) };
                Value::Bool(found)
            }
        })
    }

    pub(super) fn choice_name(&self, value: &Code, question: &NodePath) -> Eval<Value> {
        let choice = self.text(value)?;
        // the question need not apply
        let tree = self.outer.tree;
        let own = self.outer.at.rows.first(question.shared);
        let rows = (own.as_slice().len()..tree.depth(question.target)).fold(own, |rows, _| rows.with(0));
        let spot = Spot { node: question.target, rows };
        self.outer.data.choices_looked_at(spot);
        if choice.is_empty() {
            return Ok(Value::blank());
        }
        let language = self.outer.env.language;
        let label = self.outer.data.choice_label(spot.node, spot.rows.as_slice(), &choice, language);
        Ok(label.map_or_else(Value::blank, Value::Text))
    }

    pub(super) fn pulldata(&self, pulldata: &Pulldata) -> Eval<Value> {
        let Some(table) = self.outer.data.table(pulldata.table) else {
            self.outer.data.warn(Warning::MissingTable(pulldata.table));
            return Ok(Value::blank());
        };
        let language = self.outer.env.language;
        let key_column = table.column(&self.text(&pulldata.key_column)?, language);
        let column = table.column(&self.text(&pulldata.column)?, language);
        let (Some(key_column), Some(column)) = (key_column, column) else { return Ok(Value::blank()) };
        let key = self.value(&pulldata.key)?;
        if key.is_blank() {
            return Ok(Value::blank());
        }
        let found = table.find(key_column, &key.to_text(self.offset_minutes())).first().copied();
        Ok(found.map_or_else(Value::blank, |row| Value::Text(table.cell(row, column))))
    }
}
