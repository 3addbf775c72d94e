//! The form's expressions: `${name}` in every cell, then each expression read, resolved in its place, and circles found.

use std::collections::{BTreeMap, HashMap};

use super::blank;
use super::code::Code;
use super::diagnostic::{Diagnostic, Problems};
use super::nearest::nearest;
use super::node::{Nodes, Role, Shape, Use};
use super::reference::{in_chars, references};
use super::survey::Survey;
use super::table::Table;
use super::workbook::SheetKind;
use crate::form::definition::{Question, QuestionKind};
use crate::form::expression::{AnswerType, Dependency, NodeId, NodeKind, Notice, Parsed, Tree, Value};

/// Names that expressions may use: rows' names and how often each stands; names that only added nodes have.
pub(super) struct Names<'a> {
    rows: &'a HashMap<String, u32>,
    nodes: BTreeMap<&'a str, u32>,
    omit_instance_id: bool,
}

impl<'a> Names<'a> {
    pub(super) fn new(survey: &'a Survey<'_>) -> Self {
        let mut nodes: BTreeMap<&str, u32> = BTreeMap::new();
        for node in &survey.nodes.0 {
            *nodes.entry(&node.name).or_default() += 1;
        }
        Self { rows: &survey.names, nodes, omit_instance_id: survey.settings.omit_instance_id }
    }

    /// Checks the references of every cell of a sheet, but in columns that `skip` names.
    pub(super) fn check_sheet(&self, table: &Table<'_>, kind: SheetKind, problems: &mut Problems) {
        for line in table.lines() {
            for (column, cell) in line.cells() {
                let skip = match (kind, column.tokens[0].as_str()) {
                    (SheetKind::Survey, "type" | "name" | "trigger") => true,
                    (SheetKind::Choices, first) => first != "label",
                    (SheetKind::Entities, "dataset" | "repeat") => true,
                    _ => false,
                };
                if skip || !cell.text.contains("${") {
                    continue;
                }
                self.check_text(&cell.text, || table.place(line.row.number, column), problems);
            }
        }
    }

    fn check_text(&self, text: &str, place: impl Fn() -> super::diagnostic::Place, problems: &mut Problems) {
        for reference in references(text) {
            let diagnostic = match reference {
                Err(bad) => {
                    let code = if bad.closed { Code::BadReference } else { Code::ReferenceNotClosed };
                    let inside = bad.inside.trim();
                    let known = self.rows.contains_key(inside).then(|| format!("${{{inside}}}"));
                    let diagnostic = Diagnostic::new(code, place()).with("value", bad.inside);
                    diagnostic.nearest(known.as_deref()).at(in_chars(text, bad.start))
                }
                Ok(found) => match self.rows.get(found.name) {
                    _ if found.name == "instanceID" && !self.omit_instance_id => continue,
                    None => {
                        let nearest = nearest(found.name, self.rows.keys().map(String::as_str));
                        let diagnostic = Diagnostic::new(Code::UnknownReference, place()).with("name", found.name);
                        diagnostic.nearest(nearest).at(in_chars(text, found.start))
                    }
                    Some(1) if self.nodes.get(found.name).is_none_or(|n| *n == 1) => continue,
                    Some(_) => {
                        let diagnostic = Diagnostic::new(Code::AmbiguousReference, place()).with("name", found.name);
                        diagnostic.at(in_chars(text, found.start))
                    }
                },
            };
            problems.add(diagnostic);
        }
    }
}

/// The tree that expressions are resolved in, with each node's id in it.
fn tree(survey: &Survey<'_>) -> (Tree, Vec<Option<NodeId>>) {
    let nodes = &survey.nodes;
    let mut tree = Tree::new(&nodes.0[Nodes::ROOT].name);
    let mut ids = vec![None; nodes.0.len()];
    ids[Nodes::ROOT] = Some(Tree::ROOT);
    for (index, node) in nodes.0.iter().enumerate().skip(1) {
        let kind = match &node.shape {
            Shape::Repeat(_) => NodeKind::Repeat,
            Shape::Question { question, bind, .. } => NodeKind::Leaf(answer_type(question, bind)),
            Shape::Group(_) | Shape::Root => NodeKind::Group,
        };
        ids[index] = ids[node.parent].and_then(|parent| tree.add(parent, &node.name, kind).ok());
    }
    // what every form has beside its questions
    if !survey.settings.omit_instance_id
        && let Ok(meta) = tree.add(Tree::ROOT, "meta", NodeKind::Group)
    {
        let _ = tree.add(meta, "instanceID", NodeKind::Leaf(AnswerType::Text));
    }
    for name in survey.lists.names() {
        tree.add_table(name);
    }
    for name in survey.external.names() {
        tree.add_table(&format!("external_choices/{name}"));
    }
    for name in survey.files.keys().chain(&survey.instances) {
        tree.add_table(name);
    }
    (tree, ids)
}

fn answer_type(question: &Question, bind: &str) -> AnswerType {
    match (&question.kind, bind) {
        (_, "int" | "integer" | "decimal" | "double") => AnswerType::Number,
        (_, "date") => AnswerType::Date,
        (_, "time") => AnswerType::Time,
        (_, "dateTime") => AnswerType::DateTime,
        (_, "boolean") => AnswerType::Bool,
        (QuestionKind::Integer | QuestionKind::Decimal, _) => AnswerType::Number,
        _ => AnswerType::Text,
    }
}

/// Reads and resolves every expression; gives what is wrong to `problems`.
pub(super) fn check(survey: &mut Survey<'_>) {
    let (tree, ids) = tree(survey);
    let mut graph = Graph::new(&survey.nodes, &ids);
    for used in &survey.uses {
        let Some(asker) = ids.get(used.node).copied().flatten() else { continue };
        let fault = |error| Diagnostic::of_expression(error, &used.text, used.place.clone());
        let parsed = match Parsed::new(&used.text) {
            Ok(parsed) => parsed,
            Err(error) => {
                survey.problems.add(fault(error));
                continue;
            }
        };
        let table = used.list.as_ref().map(|list| tree.table(list));
        let resolved = match table {
            Some(Some(table)) => parsed.resolve_filter(&tree, asker, table).map(|f| f.resolved),
            Some(None) => continue, // the list that isn't there was reported
            None => parsed.resolve(&tree, asker),
        };
        match resolved {
            Ok(resolved) => {
                report_notices(used, resolved.notices(), &tree, survey.problems);
                graph.add(used, &survey.nodes.0[used.node].name, resolved.dependencies());
                match blank::try_out(&resolved, used.role, &tree, asker) {
                    Ok(value) => check_default(used, value, &survey.nodes, survey.problems),
                    Err(error) => survey.problems.add(fault(error)),
                }
            }
            // a name that no node has was reported where all references are checked
            Err(error) if is_name_fault(&error) && used.text.contains("${") => {
                if !survey.problems.refused() {
                    survey.problems.add(fault(error));
                }
            }
            Err(error) => survey.problems.add(fault(error)),
        }
    }
    graph.report_circle(&survey.nodes, survey.problems);
}

/// A default that gives a text where a number is held, or a number where a date is, stops the form from opening.
fn check_default(used: &Use, value: Option<Value>, nodes: &Nodes, problems: &mut Problems) {
    let (Role::Default, Some(value)) = (used.role, value) else { return };
    let Shape::Question { bind, .. } = &nodes.0[used.node].shape else { return };
    let fits = match (bind.as_str(), &value) {
        ("int" | "decimal", Value::Text(text)) => text.is_empty() || !value.to_number(0).is_nan(),
        ("date" | "dateTime" | "time", Value::Number(_) | Value::Bool(_)) => false,
        _ => true,
    };
    if !fits {
        let diagnostic = Diagnostic::new(Code::BadDefault, used.place.clone());
        problems.add(diagnostic.with("value", &used.text).with("type", bind));
    }
}

fn is_name_fault(error: &crate::form::expression::ExpressionError) -> bool {
    use crate::form::expression::Fault;
    matches!(error.fault, Fault::UnknownName(..) | Fault::AmbiguousName(_) | Fault::BadReference(_))
}

/// First arguments of `pulldata('file', ...)`.
pub(super) fn pulldata_files(uses: &[Use]) -> Vec<String> {
    let mut files = Vec::new();
    for used in uses.iter().filter(|u| u.text.contains("pulldata")) {
        for call in used.text.split("pulldata").skip(1) {
            let Some(argument) = call.trim_start().strip_prefix('(') else { continue };
            let name = argument.split(',').next().unwrap_or_default().trim();
            let name = name.trim_matches(['\'', '"']).trim();
            let stem = name.strip_suffix(".csv").unwrap_or(name);
            if !stem.is_empty() && stem.len() < 200 && !stem.contains(['$', '(', '/']) {
                files.push(stem.to_owned());
            }
        }
    }
    files
}

fn report_notices(used: &Use, notices: &[Notice], tree: &Tree, problems: &mut Problems) {
    for notice in notices {
        let (code, at, name) = match notice {
            Notice::NoSuchPath { offset, name } => (Code::NoSuchNode, *offset, name.clone()),
            Notice::FirstOfMany { offset, node } => (Code::SeveralAsOne, *offset, tree.name(*node).to_owned()),
            Notice::GroupAsValue { offset, node } => (Code::BlockAsValue, *offset, tree.name(*node).to_owned()),
        };
        let diagnostic = Diagnostic::new(code, used.place.clone()).with("name", name);
        problems.add(diagnostic.with("value", &used.text).at(in_chars(&used.text, at)));
    }
}

/// Which node's value or presence depends on which. ODK's engine refuses circles among relevance, calculations, required
/// and read-only, whichever instance is meant; constraints, defaults and filters may look at their own answer.
struct Graph {
    edges: Vec<Vec<usize>>,
    /// Where a node's first expression stands.
    places: Vec<Option<super::diagnostic::Place>>,
    index: HashMap<NodeId, usize>,
}

impl Graph {
    fn new(nodes: &Nodes, ids: &[Option<NodeId>]) -> Self {
        let index = ids.iter().enumerate().filter_map(|(i, id)| Some(((*id)?, i))).collect();
        let count = nodes.0.len();
        Self { edges: vec![Vec::new(); count], places: vec![None; count], index }
    }

    fn add(&mut self, used: &Use, name: &str, dependencies: &[Dependency]) {
        if !matches!(used.role, Role::Relevant | Role::Calculation | Role::Required | Role::ReadOnly) {
            return;
        }
        let on = dependencies.iter().filter_map(|d| self.index.get(&d.node).copied());
        self.edges[used.node].extend(on);
        // a group that asks for itself has no value, but goes in a circle all the same
        if references(&used.text).flatten().any(|r| r.name == name) {
            self.edges[used.node].push(used.node);
        }
        self.places[used.node].get_or_insert_with(|| used.place.clone());
    }

    /// What stands in a group is there only when the group is.
    fn add_blocks(&mut self, nodes: &Nodes) {
        for index in 1..nodes.0.len() {
            let parent = nodes.0[index].parent;
            if parent != Nodes::ROOT {
                self.edges[index].push(parent);
            }
        }
    }

    /// Reports one circle with its path, if there is any.
    fn report_circle(&mut self, nodes: &Nodes, problems: &mut Problems) {
        self.add_blocks(nodes);
        let Some(circle) = self.circle() else { return };
        let place = circle.iter().find_map(|n| self.places[*n].clone()).unwrap_or_default();
        let mut names: Vec<&str> = circle.iter().map(|n| nodes.0[*n].name.as_str()).collect();
        names.push(names.first().copied().unwrap_or_default());
        let shown = if names.len() > 9 {
            format!("{} → … → {}", names[..7].join(" → "), names[names.len() - 1])
        } else {
            names.join(" → ")
        };
        problems.add(Diagnostic::new(Code::Circle, place).with("path", shown));
    }

    /// The nodes of a circle in order; found by walking in depth, without recursion.
    fn circle(&self) -> Option<Vec<usize>> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let mut marks = vec![Mark::New; self.edges.len()];
        for start in 0..self.edges.len() {
            let mut path: Vec<(usize, usize)> = Vec::new();
            if marks[start] == Mark::New {
                marks[start] = Mark::Open;
                path.push((start, 0));
            }
            while let Some((node, next)) = path.last_mut() {
                let Some(on) = self.edges[*node].get(*next).copied() else {
                    marks[*node] = Mark::Done;
                    path.pop();
                    continue;
                };
                *next += 1;
                match marks[on] {
                    Mark::New => {
                        marks[on] = Mark::Open;
                        path.push((on, 0));
                    }
                    Mark::Open => {
                        let from = path.iter().position(|(n, _)| *n == on)?;
                        return Some(path[from..].iter().map(|(n, _)| *n).collect());
                    }
                    Mark::Done => {}
                }
            }
        }
        None
    }
}
