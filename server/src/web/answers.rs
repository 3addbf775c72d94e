//! Answers as people read them: labels, choices, sections of the form; sensitive ones are masked.

use std::collections::{BTreeMap, BTreeSet};

use doorstep_core::form::{
    AnswerKey, ChoiceList, ChoiceSource, Form, Item, Leaf, Question, QuestionKind, Repeat, Sensitivity,
};
use serde_json::Value;

use super::shell::Shell;

/// Merged answers by key.
pub type Answers = BTreeMap<String, Value>;

/// A part of the form with its answers.
#[derive(Debug, Clone, Default)]
pub struct Section {
    /// Heading.
    pub title: String,
    /// Answered questions.
    pub rows: Vec<Row>,
    /// Labels of questions without answer.
    pub unanswered: Vec<String>,
    /// The things of a repeat.
    pub table: Option<Table>,
}

/// A question with its answer.
#[derive(Debug, Clone)]
pub struct Row {
    /// Question.
    pub label: String,
    /// Answer.
    pub value: String,
    /// Several answers stand.
    pub differs: bool,
}

/// True for a text that needs the page's whole width.
pub fn is_long(text: &str) -> bool {
    text.chars().count() > 36
}

/// The things of a repeat, one a line.
#[derive(Debug, Clone)]
pub struct Table {
    /// The questions that anything answers.
    pub columns: Vec<String>,
    /// One a thing.
    pub lines: Vec<Line>,
}

/// One thing of a repeat, such as a member.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its answers, one a column.
    pub cells: Vec<Row>,
    /// It was removed.
    pub removed: bool,
}

/// A record's answers with their form, in a language.
pub struct Reading<'a> {
    form: &'a Form,
    answers: &'a Answers,
    differing: &'a BTreeSet<String>,
    shell: &'a Shell,
    /// Sensitive answers are shown too: somebody gave a reason.
    unmasked: bool,
}

impl<'a> Reading<'a> {
    /// Of one record.
    pub fn new(form: &'a Form, answers: &'a Answers, differing: &'a BTreeSet<String>, shell: &'a Shell) -> Self {
        Self { form, answers, differing, shell, unmasked: false }
    }

    /// Shows sensitive answers too.
    pub fn unmasked(self) -> Self {
        Self { unmasked: true, ..self }
    }

    fn lang(&self) -> &'static str {
        self.shell.language.code()
    }

    /// True for an answer that this page may show: a question of the form, outside the sensitive classes unless they are
    /// unmasked.
    pub fn is_shown(&self, key: &str) -> bool {
        match self.form.class_of(key) {
            Some(Sensitivity::Core) => true,
            Some(_) => self.unmasked,
            None => false,
        }
    }

    /// What a key asks: "Members, Li Ming: Date of birth".
    pub fn label(&self, key: &str) -> String {
        let Some(parsed) = AnswerKey::parse(key) else { return self.shell.t("answer.unknown").to_owned() };
        let leaf = match parsed.leaf {
            Leaf::Order => self.shell.t("answer.order").to_owned(),
            Leaf::Deleted => self.shell.t("answer.membership").to_owned(),
            Leaf::Question(_) => self.question_label(key),
            Leaf::Tick { choice, .. } => {
                let choice = self.choice_label(self.form.question_of(key), choice);
                self.shell.fill("answer.tick", &[("question", &self.question_label(key)), ("choice", &choice)])
            }
        };
        let Some((repeat, instance)) = parsed.instances.last() else { return leaf };
        let thing = self.thing_name(repeat, instance);
        self.shell.fill("answer.of_thing", &[("thing", &thing), ("question", &leaf)])
    }

    /// What a value says; a masked one says only that.
    pub fn value(&self, key: &str, value: &Value) -> String {
        if !self.is_shown(key) {
            return self.shell.t("answer.hidden").to_owned();
        }
        let leaf = AnswerKey::parse(key).map(|k| k.leaf);
        let yes_no = |yes: &str, no: &str, flag: bool| self.shell.t(if flag { yes } else { no }).to_owned();
        match (leaf, value) {
            (_, Value::Null) => self.shell.t("answer.blank").to_owned(),
            (Some(Leaf::Deleted), Value::Bool(removed)) => yes_no("answer.removed", "answer.restored", *removed),
            (Some(Leaf::Tick { .. }), Value::Bool(ticked)) => yes_no("answer.ticked", "answer.unticked", *ticked),
            (_, Value::Bool(flag)) => yes_no("answer.yes", "answer.no", *flag),
            (_, Value::String(text)) => self.text_value(self.form.question_of(key), text),
            (_, Value::Number(n)) if n.as_u64() == Some(1) && self.raises_flag(key) => {
                self.shell.t("answer.yes").to_owned()
            }
            (_, other) => other.to_string(),
        }
    }

    /// True for a computed answer that raises a flag when it is 1.
    fn raises_flag(&self, key: &str) -> bool {
        self.form.question_of(key).is_some_and(|question| question.extra.contains_key("flag"))
    }

    fn text_value(&self, question: Option<&Question>, text: &str) -> String {
        match question.map(|q| &q.kind) {
            Some(QuestionKind::SelectOne) => self.choice_label(question, text),
            Some(QuestionKind::Rank) => {
                let names: Vec<String> = text.split(' ').map(|name| self.choice_label(question, name)).collect();
                names.join(self.shell.t("answer.separator"))
            }
            Some(QuestionKind::Acknowledge) if text == "OK" => self.shell.t("answer.yes").to_owned(),
            _ => text.to_owned(),
        }
    }

    /// The label of a key's question.
    pub fn question_label(&self, key: &str) -> String {
        let unknown = || self.shell.t("answer.unknown").to_owned();
        self.form
            .question_of(key)
            .map_or_else(unknown, |q| q.label(self.lang(), &self.form.default_language).to_owned())
    }

    /// Where a choice stands in its list; unknown ones last.
    fn choice_place(&self, question: &Question, name: &str) -> usize {
        let list = self.choice_list(question).and_then(|l| l.choices.iter().position(|c| c.name == name));
        list.unwrap_or(usize::MAX)
    }

    fn choice_list(&self, question: &Question) -> Option<&ChoiceList> {
        match &question.choices {
            Some(ChoiceSource::List(list)) => self.form.choice_lists.get(list),
            _ => None,
        }
    }

    fn choice_label(&self, question: Option<&Question>, name: &str) -> String {
        let Some(question) = question else { return name.to_owned() };
        let choice = self.choice_list(question).and_then(|list| list.choice(name));
        let listed = choice.map(|c| c.label(self.lang(), &self.form.default_language).to_owned());
        let attached = || self.form.attached_label(question, name, self.lang()).map(|label| label.to_string());
        listed.or_else(attached).unwrap_or_else(|| name.to_owned())
    }

    /// The name of a thing in a repeat: its first text, else the start of its id.
    fn thing_name(&self, repeat: &str, instance: &str) -> String {
        let prefix = format!("{repeat}#{instance}/");
        let keys = self.answers.range(prefix.clone()..).map(|(k, _)| k).take_while(|k| k.starts_with(&prefix));
        let named = keys.filter(|k| k.ends_with("/name") && self.is_shown(k)).find_map(|k| self.answers[k].as_str());
        named.map_or_else(|| instance.chars().take(6).collect(), str::to_owned)
    }

    /// The form with its answers, section by section.
    pub fn sections(&self) -> Vec<Section> {
        let mut used = BTreeSet::new();
        let mut sections = Vec::new();
        let mut loose = Section { title: self.shell.t("record.other").to_owned(), ..Section::default() };
        for item in &self.form.items {
            match item {
                Item::Question(question) => self.add(question, &mut loose, &mut used),
                Item::Group(group) => {
                    let title = group.labels.get(self.lang(), &self.form.default_language).unwrap_or(&group.name);
                    let mut section = Section { title: title.to_owned(), ..Section::default() };
                    let mut after = Vec::new();
                    self.add_group(&group.items, &mut section, &mut after, &mut used);
                    sections.push(section);
                    sections.extend(after);
                }
                Item::Repeat(repeat) => sections.push(self.repeat(repeat, &mut used)),
            }
        }
        for key in self.answers.keys().filter(|k| !used.contains(*k) && self.is_shown(k)) {
            if !matches!(AnswerKey::parse(key).map(|k| k.leaf), Some(Leaf::Order)) {
                loose.rows.push(self.row(key, self.label(key)));
            }
        }
        sections.push(loose);
        sections.retain(|s| !s.rows.is_empty() || !s.unanswered.is_empty() || s.table.is_some());
        sections
    }

    fn add_group(&self, items: &[Item], section: &mut Section, after: &mut Vec<Section>, used: &mut BTreeSet<String>) {
        for item in items {
            match item {
                Item::Question(question) => self.add(question, section, used),
                Item::Group(group) => self.add_group(&group.items, section, after, used),
                Item::Repeat(repeat) => after.push(self.repeat(repeat, used)),
            }
        }
    }

    fn add(&self, question: &Question, section: &mut Section, used: &mut BTreeSet<String>) {
        let key = question.key();
        if !self.is_shown(key) {
            return;
        }
        let label = question.label(self.lang(), &self.form.default_language).to_owned();
        match self.answered("", question, label.clone(), used) {
            Some(row) => section.rows.push(row),
            None if is_asked(question) => section.unanswered.push(label),
            None => {}
        }
    }

    /// The row of a question under a prefix (`member#x/`), if it has an answer; its keys count as used.
    fn answered(&self, prefix: &str, question: &Question, label: String, used: &mut BTreeSet<String>) -> Option<Row> {
        let key = format!("{prefix}{}", question.key());
        if question.kind != QuestionKind::SelectMultiple {
            let value = self.answers.get(&key)?;
            used.insert(key.clone());
            return (!value.is_null() || self.differing.contains(&key)).then(|| self.row(&key, label));
        }
        let start = format!("{key}=");
        let mut ticks: Vec<&String> =
            self.answers.range(start.clone()..).map(|(k, _)| k).take_while(|k| k.starts_with(&start)).collect();
        if ticks.is_empty() {
            return None;
        }
        used.extend(ticks.iter().map(|k| (*k).clone()));
        ticks.sort_by_key(|k| self.choice_place(question, &k[start.len()..]));
        let chosen = ticks.iter().filter(|k| self.answers.get(**k) == Some(&Value::Bool(true)));
        let names: Vec<String> = chosen.map(|k| self.choice_label(Some(question), &k[start.len()..])).collect();
        let value = if names.is_empty() {
            self.shell.t("answer.none").to_owned()
        } else {
            names.join(self.shell.t("answer.separator"))
        };
        let differs = ticks.iter().any(|k| self.differing.contains(*k));
        Some(Row { label, value, differs })
    }

    fn row(&self, key: &str, label: String) -> Row {
        let value = self.answers.get(key).map(|v| self.value(key, v)).unwrap_or_default();
        Row { label, value, differs: self.differing.contains(key) }
    }

    fn repeat(&self, repeat: &Repeat, used: &mut BTreeSet<String>) -> Section {
        let title = repeat.labels.get(self.lang(), &self.form.default_language).unwrap_or(&repeat.name).to_owned();
        let mut instances: Vec<(f64, bool, &str)> = self
            .instances(&repeat.name)
            .into_iter()
            .map(|i| (self.order(repeat, i), self.is_removed(repeat, i), i))
            .collect();
        instances.sort_by(|a, b| a.1.cmp(&b.1).then(a.0.total_cmp(&b.0)));
        let mut questions = Vec::new();
        flatten(&repeat.items, &mut questions);
        questions.retain(|q| self.is_shown(&AnswerKey::in_repeat(&repeat.name, "x", q.key())));
        let mut lines = Vec::new();
        for (_, removed, instance) in &instances {
            let prefix = format!("{}#{instance}/", repeat.name);
            used.insert(format!("{prefix}@deleted"));
            let cells = questions.iter().map(|q| {
                let label = q.label(self.lang(), &self.form.default_language).to_owned();
                let empty = Row { label: label.clone(), value: String::new(), differs: false };
                self.answered(&prefix, q, label, used).unwrap_or(empty)
            });
            lines.push(Line { cells: cells.collect(), removed: *removed });
        }
        let filled: Vec<bool> =
            (0..questions.len()).map(|i| lines.iter().any(|l| !l.cells[i].value.is_empty())).collect();
        for line in &mut lines {
            let mut keep = filled.iter();
            line.cells.retain(|_| *keep.next().unwrap_or(&false));
        }
        let columns = questions.iter().zip(&filled).filter(|(_, filled)| **filled);
        let columns = columns.map(|(q, _)| q.label(self.lang(), &self.form.default_language).to_owned()).collect();
        Section { title, table: Some(Table { columns, lines }), ..Section::default() }
    }

    /// The instances of a repeat that have an answer here, in the order of their ids.
    fn instances(&self, repeat: &str) -> BTreeSet<&'a str> {
        let start = format!("{repeat}#");
        let keys = self.answers.keys().filter_map(|k| k.strip_prefix(&start)?.split_once('/').map(|(i, _)| i));
        keys.collect()
    }

    fn order(&self, repeat: &Repeat, instance: &str) -> f64 {
        let key = format!("{}#{instance}/@order", repeat.name);
        self.answers.get(&key).and_then(Value::as_f64).unwrap_or(f64::MAX)
    }

    fn is_removed(&self, repeat: &Repeat, instance: &str) -> bool {
        self.answers.get(&format!("{}#{instance}/@deleted", repeat.name)) == Some(&Value::Bool(true))
    }

    /// Labels of the form's sensitive questions: what the hidden part may hold.
    pub fn hidden_labels(&self) -> Vec<String> {
        let mut labels: Vec<String> = Vec::new();
        for placed in self.form.questions() {
            let repeats = placed.repeats.iter().fold(String::new(), |at, r| format!("{at}{r}#x/"));
            if self.form.class_of(&format!("{repeats}{}", placed.question.key())) == Some(Sensitivity::Sensitive) {
                labels.push(placed.question.label(self.lang(), &self.form.default_language).to_owned());
            }
        }
        labels
    }
}

fn flatten<'q>(items: &'q [Item], out: &mut Vec<&'q Question>) {
    for item in items {
        match item {
            Item::Question(question) => out.push(question),
            Item::Group(group) => flatten(&group.items, out),
            Item::Repeat(_) => {}
        }
    }
}

/// True for what a person answers; the rest isn't missed when it has no answer.
fn is_asked(question: &Question) -> bool {
    use QuestionKind as K;
    !matches!(
        question.kind,
        K::Note
            | K::Calculate
            | K::Hidden
            | K::Start
            | K::End
            | K::Today
            | K::DeviceId
            | K::Username
            | K::PhoneNumber
            | K::Email
            | K::Audit
    )
}
