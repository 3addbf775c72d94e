//! Sets of nodes and of items of tables: where paths lead, and filters.

use super::super::code::{Base, Code, CodeKind, IndexedRepeat, ItemFilter, ItemPath, NodePath, SetCode};
use super::super::data::{Rows, Spot, Warning};
use super::super::functions::Function;
use super::super::shuffle::{ParkMiller, seed_of, shuffled};
use super::super::table::Table;
use super::super::tree::NodeKind;
use super::super::value::{EPSILON, Value, text_to_number};
use super::{Cx, Eval, Item, arg, compare};
use crate::clock::random;

/// Nodes, or items of a table (with a column: cells).
pub(super) enum Set<'a> {
    Nodes(Vec<Spot>),
    Rows(&'a Table, Vec<u32>, Option<usize>),
}

impl<'a> Cx<'a> {
    pub(super) fn set(&self, at: usize, set: &SetCode) -> Eval<Set<'a>> {
        match set {
            SetCode::Empty => Ok(Set::Nodes(Vec::new())),
            SetCode::Nodes(path) => Ok(Set::Nodes(self.spots(at, path)?)),
            SetCode::Union(paths) => {
                let mut all = Vec::new();
                for path in paths {
                    all.extend(self.spots(at, path)?);
                }
                Ok(Set::Nodes(all))
            }
            SetCode::Items(path) => self.items(at, path),
            SetCode::Column(name) => {
                let Item::Row(table, row, cell) = self.item else { return Ok(Set::Nodes(Vec::new())) };
                Ok(match name {
                    None => Set::Rows(table, vec![row], cell),
                    Some(name) => match table.column(name, self.outer.env.language) {
                        Some(column) => Set::Rows(table, vec![row], Some(column)),
                        None => Set::Nodes(Vec::new()),
                    },
                })
            }
            SetCode::IndexedRepeat(indexed) => Ok(Set::Nodes(self.indexed(indexed)?.into_iter().collect())),
            SetCode::Randomize(inner, seed) => {
                let mut draw = self.draws(seed.as_deref())?;
                Ok(match self.set(at, inner)? {
                    Set::Nodes(nodes) => Set::Nodes(shuffled(&nodes, &mut draw)),
                    Set::Rows(table, rows, column) => Set::Rows(table, shuffled(&rows, &mut draw), column),
                })
            }
        }
    }

    /// The value of the first node; blank when there is none.
    pub(super) fn first(&self, at: usize, set: &SetCode) -> Eval<Value> {
        match set {
            SetCode::Nodes(path) if path.levels.is_empty() => {
                let spot = self.spot(path);
                Ok(self.leaf(spot, path.own))
            }
            SetCode::Column(Some(name)) => {
                let Item::Row(table, row, _) = self.item else { return Ok(Value::blank()) };
                let column = table.column(name, self.outer.env.language);
                Ok(column.map_or_else(Value::blank, |column| Value::Text(table.cell(row, column))))
            }
            SetCode::Column(None) => Ok(self.own_value()),
            _ => Ok(match self.set(at, set)? {
                Set::Nodes(nodes) => nodes.first().map_or_else(Value::blank, |spot| self.leaf(*spot, false)),
                Set::Rows(table, rows, column) => match (rows.first(), column) {
                    (Some(row), Some(column)) => Value::Text(table.cell(*row, column)),
                    _ => Value::blank(),
                },
            }),
        }
    }

    pub(super) fn set_values(&self, at: usize, set: &SetCode) -> Eval<Vec<Value>> {
        Ok(match self.set(at, set)? {
            Set::Nodes(nodes) => {
                self.visit(at, nodes.len())?;
                nodes.into_iter().map(|spot| self.leaf(spot, false)).collect()
            }
            Set::Rows(table, rows, column) => {
                self.visit(at, rows.len())?;
                let cell = |row: u32| column.map_or_else(Value::blank, |c| Value::Text(table.cell(row, c)));
                rows.into_iter().map(cell).collect()
            }
        })
    }

    fn leaf(&self, spot: Spot, own: bool) -> Value {
        match self.outer.tree.kind(spot.node) {
            NodeKind::Leaf(_) => self.value_at(spot, own),
            _ => Value::blank(),
        }
    }

    fn base_rows(&self, path: &NodePath) -> Rows {
        let base = match (path.base, self.item) {
            (Base::Item, Item::Node(spot)) => spot.rows,
            _ => self.outer.at.rows,
        };
        base.first(path.shared)
    }

    fn spot(&self, path: &NodePath) -> Spot {
        Spot { node: path.target, rows: self.base_rows(path) }
    }

    /// The relevant nodes that a path leads to, in order.
    pub(super) fn spots(&self, at: usize, path: &NodePath) -> Eval<Vec<Spot>> {
        let data = self.outer.data;
        let mut all = vec![self.base_rows(path)];
        for level in &path.levels {
            let mut kept = Vec::new();
            let outer = self.outer.tree.depth(level.node) - usize::from(level.expand);
            for rows in all {
                let inside: Vec<Rows> = if level.expand {
                    let count = data.count(level.node, rows.as_slice());
                    (0..count).map(|row| rows.first(outer).with(row)).collect()
                } else {
                    vec![rows]
                };
                self.visit(at, inside.len())?;
                kept.extend(self.filter_rows(level.node, inside, &level.filters)?);
            }
            all = kept;
        }
        let relevant = |rows: &Rows| data.is_relevant(path.target, rows.as_slice());
        Ok(all.into_iter().filter(relevant).map(|rows| Spot { node: path.target, rows }).collect())
    }

    fn filter_rows(&self, node: super::super::tree::NodeId, inside: Vec<Rows>, filters: &[Code]) -> Eval<Vec<Rows>> {
        let depth = self.outer.tree.depth(node);
        let mut all = inside;
        if filters.is_empty() {
            return Ok(all);
        }
        all.retain(|rows| self.outer.data.is_relevant(node, rows.first(depth).as_slice()));
        for filter in filters {
            let size = all.len();
            let mut kept = Vec::new();
            for (index, rows) in all.into_iter().enumerate() {
                let spot = Spot { node, rows: rows.first(depth) };
                if self.filtered(Item::Node(spot), index, size).passes(filter)? {
                    kept.push(rows);
                }
            }
            all = kept;
        }
        Ok(all)
    }

    fn filtered(&self, item: Item<'a>, index: usize, size: usize) -> Cx<'a> {
        let place = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Cx { item, place: Some((place(index + 1), place(size))), ..*self }
    }

    /// A number is a position, anything else a condition.
    fn passes(&self, filter: &Code) -> Eval<bool> {
        Ok(match self.value(filter)? {
            Value::Number(n) => self.place.is_some_and(|(position, _)| (f64::from(position) - n).abs() < EPSILON),
            value => value.to_bool(),
        })
    }

    fn items(&self, at: usize, path: &ItemPath) -> Eval<Set<'a>> {
        let Some(table) = self.outer.data.table(path.table) else {
            self.outer.data.warn(Warning::MissingTable(path.table));
            return Ok(Set::Nodes(Vec::new()));
        };
        let mut rows: Option<Vec<u32>> = None;
        for filter in &path.filters {
            rows = Some(self.filter_items(table, rows, filter)?);
        }
        let column = match &path.column {
            None => None,
            Some(name) => match table.column(name, self.outer.env.language) {
                Some(column) => Some(column),
                None => return Ok(Set::Nodes(Vec::new())),
            },
        };
        let mut rows = rows.unwrap_or_else(|| all_rows(table));
        self.visit(at, rows.len())?;
        for filter in &path.column_filters {
            rows = self.keep(rows, |row| Item::Row(table, row, column), filter)?;
        }
        Ok(Set::Rows(table, rows, column))
    }

    /// The items that pass one filter, out of `rows` (or all), starting from an index where there is one.
    pub(super) fn filter_items(&self, table: &'a Table, rows: Option<Vec<u32>>, filter: &ItemFilter) -> Eval<Vec<u32>> {
        let mut rows = rows;
        if let Some((column, value)) = &filter.equal {
            let value = self.value(value)?;
            rows = Some(self.equal_items(table, column, &value, rows));
        }
        let rows = rows.unwrap_or_else(|| all_rows(table));
        match &filter.test {
            None => Ok(rows),
            Some(test) => self.keep(rows, |row| Item::Row(table, row, None), test),
        }
    }

    fn keep(&self, rows: Vec<u32>, item: impl Fn(u32) -> Item<'a>, test: &Code) -> Eval<Vec<u32>> {
        let size = rows.len();
        let mut kept = Vec::new();
        for (index, row) in rows.into_iter().enumerate() {
            if self.filtered(item(row), index, size).passes(test)? {
                kept.push(row);
            }
        }
        Ok(kept)
    }

    /// Items whose cell equals the value, by the index for texts and whole numbers.
    fn equal_items(&self, table: &Table, column: &str, value: &Value, rows: Option<Vec<u32>>) -> Vec<u32> {
        let offset = self.offset_minutes();
        let Some(column) = table.column(column, self.outer.env.language) else {
            // a column that isn't there is blank
            let blank_fits = compare::equal(&Value::blank(), value, offset);
            return if blank_fits { rows.unwrap_or_else(|| all_rows(table)) } else { Vec::new() };
        };
        let indexed = match value {
            Value::Text(text) if !text.is_empty() => Some(table.find(column, text)),
            Value::Number(n) if n.fract() == 0.0 && n.abs() < 1e9 => Some(table.find_number(column, *n)),
            _ => None,
        };
        match (indexed, rows) {
            (Some(found), None) => found.to_vec(),
            (_, rows) => {
                let mut rows = rows.unwrap_or_else(|| all_rows(table));
                rows.retain(|row| {
                    let cell = table.cell(*row, column);
                    match value {
                        Value::Text(text) => *text == cell,
                        Value::Number(n) => (text_to_number(&cell) - n).abs() < EPSILON,
                        other => compare::equal(&Value::Text(cell), other, offset),
                    }
                });
                rows
            }
        }
    }

    fn indexed(&self, indexed: &IndexedRepeat) -> Eval<Option<Spot>> {
        let own = self.outer.at.rows;
        let mut rows = Rows::NONE;
        for (depth, (repeat, index)) in indexed.repeats.iter().enumerate() {
            let row = match index {
                Some(code) => (self.number(code)? as i32).max(1) - 1,
                None if depth < indexed.shared => own.as_slice().get(depth).map_or(0, |row| *row as i32),
                None => 0,
            };
            let row = u32::try_from(row).unwrap_or(0);
            if row >= self.outer.data.count(*repeat, rows.as_slice()) {
                return Ok(None);
            }
            rows = rows.with(row);
        }
        let relevant = self.outer.data.is_relevant(indexed.target, rows.as_slice());
        Ok(relevant.then_some(Spot { node: indexed.target, rows }))
    }

    pub(super) fn about_sets(&self, at: usize, function: Function, args: &[Code]) -> Eval<Value> {
        let set = match args.first().map(|a| &a.kind) {
            Some(CodeKind::Set(set)) => Some(self.set(at, set)?),
            _ => None,
        };
        let number = match (function, set) {
            (Function::Count, Some(Set::Nodes(nodes))) => nodes.len() as f64,
            (Function::Count, Some(Set::Rows(_, rows, _))) => rows.len() as f64,
            (Function::CountNonEmpty, Some(set)) => self.count_non_empty(at, set)? as f64,
            (Function::Position, Some(Set::Nodes(nodes))) => nodes.first().map_or(0.0, |spot| self.position(*spot)),
            (Function::Position, Some(Set::Rows(_, rows, _))) => rows.first().map_or(0.0, |row| f64::from(*row) + 1.0),
            (Function::Position, None) => match (self.place, self.item) {
                (Some((position, _)), _) => f64::from(position),
                (None, Item::Node(spot)) => self.position(spot),
                (None, _) => self.position(self.outer.at),
            },
            (Function::Last, _) => self.place.map_or(1.0, |(_, size)| f64::from(size)),
            _ => return self.value(arg(args, 0)),
        };
        Ok(Value::Number(number))
    }

    fn count_non_empty(&self, at: usize, set: Set<'a>) -> Eval<usize> {
        Ok(match set {
            Set::Nodes(nodes) => {
                self.visit(at, nodes.len())?;
                let filled = |spot: &&Spot| match self.outer.tree.kind(spot.node) {
                    NodeKind::Leaf(_) => !self.value_at(**spot, false).is_blank(),
                    _ => !self.outer.tree.children(spot.node).is_empty(),
                };
                nodes.iter().filter(filled).count()
            }
            Set::Rows(table, rows, column) => {
                self.visit(at, rows.len())?;
                rows.iter().filter(|row| column.is_none_or(|c| !table.cell(**row, c).is_empty())).count()
            }
        })
    }

    /// The number of the instance, from 1; of anything but a repeat 1.
    fn position(&self, spot: Spot) -> f64 {
        match self.outer.tree.kind(spot.node) {
            NodeKind::Repeat => spot.rows.as_slice().last().map_or(1.0, |row| f64::from(*row) + 1.0),
            _ => 1.0,
        }
    }

    /// Numbers from 0 to below 1 for a shuffle: ODK's own generator when there is a seed, so that orders agree.
    fn draws(&self, seed: Option<&Code>) -> Eval<Box<dyn FnMut() -> f64 + 'a>> {
        let Some(seed) = seed else {
            let entropy = self.outer.env.entropy;
            return Ok(Box::new(move || f64::from(u32::from_le_bytes(random(entropy))) / 4_294_967_296.0));
        };
        let mut generator = ParkMiller::new(seed_of(&self.value(seed)?, self.offset_minutes()));
        Ok(Box::new(move || generator.draw()))
    }
}

fn all_rows(table: &Table) -> Vec<u32> {
    (0..u32::try_from(table.len()).unwrap_or(u32::MAX)).collect()
}
