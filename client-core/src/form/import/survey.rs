//! The survey sheet, row by row: groups open and close, questions stand in them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::choices::Lists;
use super::code::Code;
use super::diagnostic::{Diagnostic, Problems};
use super::entities::Entities;
use super::limits;
use super::node::{Node, Nodes, Shape, Use};
use super::question;
use super::reference::is_name;
use super::settings::{Settings, yes_no};
use super::table::Line;
use super::types::{self, Block, Meaning, Type};
use crate::form::definition::Question;

/// Everything that the survey sheet gave, and what the readers of its rows share.
pub(super) struct Survey<'a> {
    pub(super) settings: &'a mut Settings,
    pub(super) lists: &'a mut Lists,
    pub(super) external: &'a mut Lists,
    pub(super) entities: &'a mut Entities,
    pub(super) problems: &'a mut Problems,
    pub(super) nodes: Nodes,
    pub(super) uses: Vec<Use>,
    /// How often each name of a row stands in the sheet.
    pub(super) names: HashMap<String, u32>,
    /// Names of rows that are questions.
    pub(super) questions: HashSet<String>,
    /// `trigger` cells: what they name.
    pub(super) triggers: Vec<Triggered>,
    /// Files to attach: name to where it is asked for.
    pub(super) files: BTreeMap<String, u32>,
    /// Names of instances that an expression may name.
    pub(super) instances: BTreeSet<String>,
    /// `reference-geometry` parameters and their places.
    pub(super) geometries: Vec<(String, super::diagnostic::Place)>,
    pub(super) repeats: HashMap<String, u32>,
    /// Rows' names by parent and lower case, with their rows.
    siblings: HashMap<(usize, String), Vec<(String, u32)>>,
    /// `select_one ${name}`: the name, the question's node, where.
    pub(super) choice_questions: Vec<(String, usize, super::diagnostic::Place)>,
    open: Vec<Open>,
    table_list: Option<TableList>,
}

pub(super) struct Triggered {
    pub(super) target: String,
    pub(super) place: super::diagnostic::Place,
}

struct Open {
    node: usize,
    block: Block,
    row: u32,
}

/// A group with appearance `table-list`: before its first select, then with that select's list.
#[derive(Debug, Clone, PartialEq, Eq)]
enum TableList {
    Waiting,
    Of(String),
}

impl<'a> Survey<'a> {
    pub(super) fn new(
        settings: &'a mut Settings,
        lists: &'a mut Lists,
        external: &'a mut Lists,
        entities: &'a mut Entities,
        problems: &'a mut Problems,
    ) -> Self {
        let nodes = Nodes::new(settings.root());
        Self {
            settings,
            lists,
            external,
            entities,
            problems,
            nodes,
            uses: Vec::new(),
            names: HashMap::new(),
            questions: HashSet::new(),
            triggers: Vec::new(),
            files: BTreeMap::new(),
            instances: BTreeSet::new(),
            geometries: Vec::new(),
            repeats: HashMap::new(),
            siblings: HashMap::new(),
            choice_questions: Vec::new(),
            open: Vec::new(),
            table_list: None,
        }
    }

    /// The node that rows are added to at this point.
    pub(super) fn parent(&self) -> usize {
        self.open.last().map_or(Nodes::ROOT, |o| o.node)
    }

    /// Reads one row.
    pub(super) fn row(&mut self, line: Line<'_>) {
        if let Some(disabled) = line.get(&["disabled"]) {
            self.warn(Code::Disabled, line, &["disabled"]);
            if yes_no(disabled) == Some(true) {
                return;
            }
        }
        let Some(cell) = line.get(&["type"]) else { return self.row_without_type(line) };
        self.check_columns(line);
        let (meaning, other_case) = types::meaning(cell);
        if other_case {
            self.problems.add(Diagnostic::new(Code::TypeCase, line.place(&["type"])).with("value", cell));
        }
        match meaning {
            Meaning::Setting(name) => self.setting(line, name),
            Meaning::End(block) => self.end(line, block),
            Meaning::Begin(block) => {
                if let Some(name) = self.name(line, false) {
                    self.begin(line, block, name);
                }
            }
            Meaning::ExternalFile(ending) => {
                if let Some(name) = self.name(line, false) {
                    self.external_file(line, &name, ending);
                }
            }
            Meaning::Question(of) if of.kind == "audit" => self.audit(line, of),
            Meaning::Question(of) => {
                if let Some(name) = self.name(line, of.kind == "note") {
                    question::plain(self, line, name, of);
                }
            }
            Meaning::Select { control, list, command, other } => {
                if let Some(name) = self.name(line, false) {
                    let select = question::Select { control, list, command, other };
                    question::select(self, line, name, &select);
                }
            }
            Meaning::Dead(name) => {
                self.problems.add(Diagnostic::new(Code::DeadType, line.place(&["type"])).with("value", name));
                self.stand_in(line);
            }
            Meaning::SelectWithoutList(command) => {
                let diagnostic = Diagnostic::new(Code::SelectWithoutList, line.place(&["type"]));
                self.problems.add(diagnostic.with("value", cell).with("command", command));
                self.stand_in(line);
            }
            Meaning::Unknown => {
                let known = types::NAMES.iter().copied().chain([
                    "select_one",
                    "select_multiple",
                    "rank",
                    "begin group",
                    "end group",
                    "begin repeat",
                    "end repeat",
                ]);
                let nearest = super::nearest::nearest(cell, known);
                let diagnostic = Diagnostic::new(Code::UnknownType, line.place(&["type"]));
                self.problems.add(diagnostic.with("value", cell).nearest(nearest));
                self.stand_in(line);
            }
        }
    }

    /// Reports what is still open and gives the sheet's last words.
    pub(super) fn close(&mut self, sheet: &str) {
        for open in std::mem::take(&mut self.open).into_iter().rev() {
            let place = super::diagnostic::Place::sheet(sheet).row(open.row);
            let name = self.nodes.0[open.node].name.clone();
            let diagnostic = Diagnostic::new(Code::NeverClosed, place).with("kind", open.block.name());
            self.problems.add(diagnostic.with("name", name));
        }
    }

    /// Columns that mean nothing as they are written.
    fn check_columns(&mut self, line: Line<'_>) {
        for (column, _) in line.cells() {
            let tokens: Vec<&str> = column.tokens.iter().map(String::as_str).collect();
            let code = match tokens.as_slice() {
                ["bind" | "control" | "instance"] => Code::ColumnNeedsPart,
                ["bind", "relevant" | "required" | "readonly" | "constraint" | "calculate", _, ..] => {
                    Code::ColumnNotTranslated
                }
                ["media", medium, ..] if !question::MEDIA.contains(medium) => Code::UnknownMedium,
                _ => continue,
            };
            let place = line.table.place(1, column);
            self.problems.add(Diagnostic::new(code, place).with("header", &column.header));
        }
    }

    pub(super) fn warn(&mut self, code: Code, line: Line<'_>, path: &[&str]) {
        self.problems.add(Diagnostic::new(code, line.place(path)));
    }

    fn row_without_type(&mut self, line: Line<'_>) {
        if line.get(&["name"]).is_some() || line.any(&["label"]) {
            self.warn(Code::NoType, line, &["type"]);
        } else if line.cells().next().is_some() {
            self.warn(Code::CommentRow, line, &["type"]);
        }
    }

    fn setting(&mut self, line: Line<'_>, name: &str) {
        let Some(value) = line.get(&["name"]) else { return };
        match name {
            "title" => self.settings.title = Some(value.to_owned()),
            "id_string" => self.settings.id = Some(value.to_owned()),
            _ => {}
        }
        self.settings.all.insert(if name == "title" { "form_title" } else { "form_id" }.to_owned(), value.into());
    }

    /// The row's name, checked; a note may go without.
    fn name(&mut self, line: Line<'_>, is_note: bool) -> Option<String> {
        let name = match line.get(&["name"]) {
            Some(name) => name.to_owned(),
            None if is_note => format!("generated_note_name_{}", line.row.number),
            None => {
                self.warn(Code::NoName, line, &["name"]);
                return None;
            }
        };
        let place = line.place(&["name"]);
        if !is_name(&name) {
            let hint = super::question::suggested_name(&name);
            self.problems.add(Diagnostic::new(Code::BadName, place).with("name", &name).nearest(hint.as_deref()));
            return None;
        }
        if name.len() > limits::NAME_BYTES {
            self.problems.add(Diagnostic::new(Code::NameTooLong, place).with("name", &name));
            return None;
        }
        *self.names.entry(name.clone()).or_default() += 1;
        if name == "meta" {
            self.problems.add(Diagnostic::new(Code::ReservedName, place).with("name", &name));
            return None;
        }
        let parent = self.parent();
        let siblings = self.siblings.entry((parent, name.to_lowercase())).or_default();
        if let Some((_, row)) = siblings.iter().find(|(n, _)| *n == name) {
            let diagnostic = Diagnostic::new(Code::NameTwice, place).with("name", &name);
            self.problems.add(diagnostic.with("other_row", row.to_string()));
            return None;
        }
        if let Some((other, row)) = siblings.first() {
            let diagnostic = Diagnostic::new(Code::NameDiffersInCase, place).with("name", &name);
            self.problems.add(diagnostic.with("other", other).with("other_row", row.to_string()));
        }
        siblings.push((name.clone(), line.row.number));
        Some(name)
    }

    /// A text question in place of a row that can't be understood, so that other rows may still name it.
    fn stand_in(&mut self, line: Line<'_>) {
        let Some(name) = line.get(&["name"]).filter(|n| is_name(n)).map(str::to_owned) else { return };
        *self.names.entry(name.clone()).or_default() += 1;
        self.questions.insert(name.clone());
        let mut question = question::blank(&name);
        question.labels = line.texts(&["label"], self.settings.unnamed());
        self.add(line.row.number, question, "string", types::Control::None);
    }

    /// Adds a question under the open group.
    pub(super) fn add(&mut self, row: u32, question: Question, bind: &str, control: types::Control) -> usize {
        let parent = self.parent();
        let name = question.name.clone();
        let shape = Shape::Question { question: Box::new(question), bind: bind.to_owned(), control, hidden: false };
        self.nodes.push(Node { name, parent, children: Vec::new(), row, shape })
    }

    fn audit(&mut self, line: Line<'_>, of: Type) {
        if let Some(name) = line.get(&["name"]).filter(|n| *n != "audit") {
            self.problems.add(Diagnostic::new(Code::AuditName, line.place(&["name"])).with("name", name));
        }
        let parameters = question::parameters(self, line);
        question::asked(line, &parameters).check(of.kind, self.problems);
        self.problems.add(Diagnostic::new(Code::TypeNotRun, line.place(&["type"])).with("value", of.name));
        self.settings.all.insert("audit".to_owned(), serde_json::json!(parameters));
    }

    fn external_file(&mut self, line: Line<'_>, name: &str, ending: &str) {
        self.questions.insert(name.to_owned());
        let file = format!("{name}.{ending}");
        if self.files.contains_key(&file) {
            let diagnostic = Diagnostic::new(Code::FileTwice, line.place(&["name"]));
            self.problems.add(diagnostic.with("name", name));
        }
        self.files.insert(file, line.row.number);
        self.instances.insert(name.to_owned());
        question::parameters(self, line);
    }

    fn begin(&mut self, line: Line<'_>, block: Block, name: String) {
        if block == Block::Loop {
            self.problems.add(Diagnostic::new(Code::DeadType, line.place(&["type"])).with("value", "loop"));
        }
        if block == Block::Repeat {
            self.check_repeat_name(line, &name);
        }
        if self.open.len() >= limits::GROUP_DEPTH {
            self.warn(Code::TooDeep, line, &["type"]);
        }
        let appearance = line.get(&["control", "appearance"]);
        let is_table = appearance.is_some_and(|a| a.split_whitespace().any(|word| word == "table-list"));
        let node = question::block(self, line, &name, block, is_table);
        self.open.push(Open { node, block, row: line.row.number });
        if is_table {
            self.table_list = Some(TableList::Waiting);
            question::table_note(self, line);
        }
    }

    fn check_repeat_name(&mut self, line: Line<'_>, name: &str) {
        let place = line.place(&["name"]);
        if name == self.settings.root() {
            self.problems.add(Diagnostic::new(Code::RepeatNamedAsRoot, place).with("name", name));
        } else if let Some(other) = self.repeats.get(name) {
            let diagnostic = Diagnostic::new(Code::RepeatTwice, place).with("name", name);
            self.problems.add(diagnostic.with("other_row", other.to_string()));
        } else {
            self.repeats.insert(name.to_owned(), line.row.number);
        }
    }

    fn end(&mut self, line: Line<'_>, block: Block) {
        self.table_list = None;
        match self.open.last() {
            Some(open) if open.block == block => {
                self.open.pop();
            }
            Some(open) => {
                let diagnostic = Diagnostic::new(Code::ClosesAnother, line.place(&["type"]));
                let name = self.nodes.0[open.node].name.clone();
                let diagnostic = diagnostic.with("kind", block.name()).with("open", open.block.name());
                self.problems.add(diagnostic.with("name", name).with("other_row", open.row.to_string()));
                // close up to the one that is meant, so that one slip gives one complaint
                if let Some(at) = self.open.iter().rposition(|o| o.block == block) {
                    self.open.truncate(at);
                } else {
                    self.open.pop();
                }
            }
            None => {
                let diagnostic = Diagnostic::new(Code::ClosesNothing, line.place(&["type"]));
                self.problems.add(diagnostic.with("kind", block.name()));
            }
        }
    }

    /// True inside a group with appearance `table-list`.
    pub(super) fn in_table(&self) -> bool {
        self.table_list.is_some()
    }

    /// Takes a select into an open table-list: true when it is the first, which the header is made for.
    pub(super) fn joins_table(&mut self, line: Line<'_>, list: &str) -> Option<bool> {
        let first = match self.table_list.clone()? {
            TableList::Waiting => {
                if line.get(&["choice_filter"]).is_some() {
                    self.warn(Code::FilterInTable, line, &["choice_filter"]);
                }
                self.table_list = Some(TableList::Of(list.to_owned()));
                true
            }
            TableList::Of(first) => {
                if first != list {
                    let diagnostic = Diagnostic::new(Code::TableListsDiffer, line.place(&["type"]));
                    self.problems.add(diagnostic.with("list", list).with("other", first));
                }
                false
            }
        };
        Some(first)
    }
}
