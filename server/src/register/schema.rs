//! What a register can hold, from the household form: its fields with their kinds and choices, and the words by which offices
//! call them (`messages/register_words.json`).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use doorstep_core::form::definition::{ChoiceSource, PlacedQuestion, QuestionKind, Sensitivity};
use doorstep_core::form::{AnswerKey, Form, Question};
use serde::Deserialize;

use super::clean;

/// The words of offices.
#[derive(Debug, Default, Deserialize)]
pub struct Words {
    /// Headers by question.
    headers: BTreeMap<String, Vec<String>>,
    /// Headers of columns that are left aside without a word.
    left: Vec<String>,
    /// How rows below a table begin.
    footers: Vec<String>,
    /// Words for choices by question and choice.
    choices: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// Headers of the other tables: by kind and field.
    lists: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// Words for levels of the area tree.
    levels: BTreeMap<String, Vec<String>>,
}

static WORDS: LazyLock<Words> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../messages/register_words.json")).unwrap_or_default());

impl Words {
    /// Those that are built in.
    pub fn built_in() -> &'static Self {
        &WORDS
    }

    /// True for a header whose column is left aside without a word.
    pub fn is_left(&self, compared: &str) -> bool {
        self.left.iter().any(|word| word == compared || word == clean::without_brackets(compared))
    }

    /// True for a field of another table.
    pub fn is_list_field(&self, kind: &str, name: &str) -> bool {
        self.lists.get(kind).is_some_and(|fields| fields.contains_key(name))
    }

    /// The field of another table that a header means.
    pub fn list_field(&self, kind: &str, header: &str) -> Option<&str> {
        let compared = clean::compared(header);
        let known = |words: &Vec<String>| {
            words.iter().any(|w| clean::compared(w) == compared || *w == clean::without_brackets(&compared))
        };
        let fields = self.lists.get(kind)?;
        let found = fields.iter().find(|(name, words)| **name == compared || known(words));
        found.map(|(name, _)| name.as_str())
    }

    /// The level of the area tree that a word means.
    pub fn level(&self, text: &str) -> Option<&str> {
        let compared = clean::compared(text);
        let found = self.levels.iter().find(|(name, words)| **name == compared || words.contains(&compared));
        found.map(|(name, _)| name.as_str())
    }

    /// True for how rows below a table begin.
    pub fn is_footer(&self, text: &str) -> bool {
        let start = clean::compared(text.split([':', '：']).next().unwrap_or_default());
        self.footers.iter().any(|word| *word == start || start.strip_prefix(word.as_str()).is_some_and(is_cut))
    }
}

/// True where a footer's word doesn't go on as another word: `合计25户`, `注1`.
fn is_cut(rest: &str) -> bool {
    rest.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '(' | ',' | '.'))
}

/// How the cells of a field are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// A person's name.
    Name,
    /// An ID number.
    Id,
    /// A number that names something, kept as text.
    Code,
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Decimal,
    /// A day.
    Date,
    /// One choice.
    One,
    /// Any number of choices.
    Many,
}

/// A field of the register: a question of the household form.
#[derive(Debug)]
pub struct Field {
    /// The question, without its repeat.
    pub name: String,
    /// True for a question about each member.
    pub of_member: bool,
    /// How its cells are read.
    pub kind: FieldKind,
    /// The class of its answers.
    pub class: Sensitivity,
    /// The question.
    pub question: Question,
    /// Names of the choices, in the form's order.
    pub choices: Vec<String>,
    words: HashMap<String, Option<usize>>,
    labels: Vec<(String, usize)>,
}

impl Field {
    /// The choice that a cell means: by name, label in any language, or a word of offices; else the only one whose label begins
    /// like this.
    pub fn choice(&self, text: &str) -> Option<&str> {
        let compared = clean::compared(text);
        if let Some(found) = self.words.get(&compared) {
            return found.map(|at| self.choices[at].as_str());
        }
        if compared.chars().count() < 2 {
            return None;
        }
        let mut found = self.labels.iter().filter(|(label, _)| label.starts_with(&compared)).map(|(_, at)| *at);
        let first = found.next()?;
        found.all(|other| other == first).then(|| self.choices[first].as_str())
    }

    /// The label of a choice.
    pub fn label_of<'a>(&self, form: &'a Form, choice: &'a str, language: &str) -> &'a str {
        let Some(ChoiceSource::List(list)) = &self.question.choices else { return choice };
        let found = form.choice_lists.get(list).and_then(|l| l.choice(choice));
        found.map_or(choice, |c| c.label(language, &form.def().default_language))
    }
}

/// The fields of a register.
#[derive(Debug)]
pub struct Schema {
    /// The form that they come from.
    pub form: Arc<Form>,
    /// The repeat whose instances are members.
    pub repeat: String,
    /// The fields.
    pub fields: Vec<Field>,
    headers: HashMap<String, usize>,
}

/// Fields that a register can't do without.
pub const NEEDED: [&str; 2] = ["household_no", "name"];

impl Schema {
    /// The fields of a household form; `None` when it lacks what a register needs.
    pub fn of(form: Arc<Form>) -> Option<Self> {
        let repeat = form.list.persons.clone();
        let mut fields = Vec::new();
        for placed in form.def().questions() {
            let of_member = placed.repeats == [repeat.as_str()];
            if !of_member && !placed.repeats.is_empty() {
                continue;
            }
            fields.extend(field(&form, &placed, of_member));
        }
        let headers = headers(&form, &fields);
        let schema = Self { form, repeat, fields, headers };
        NEEDED.iter().all(|name| schema.position(name).is_some()).then_some(schema)
    }

    /// The place of a field.
    pub fn position(&self, name: &str) -> Option<usize> {
        let (of_member, leaf) = match name.split_once('/') {
            Some((repeat, leaf)) => (repeat == self.repeat, leaf),
            None => (matches!(name, "name"), name),
        };
        let found = self.fields.iter().position(|f| f.name == leaf && f.of_member == of_member);
        found.or_else(|| self.fields.iter().position(|f| f.name == leaf))
    }

    /// The field that a header means.
    pub fn by_header(&self, header: &str) -> Option<usize> {
        let compared = clean::compared(header);
        let found = self.headers.get(&compared).or_else(|| self.headers.get(clean::without_brackets(&compared)));
        found.copied()
    }

    /// The key of a field's answer; `instance` for a member.
    pub fn key(&self, field: usize, instance: &str) -> String {
        let field = &self.fields[field];
        if field.of_member { AnswerKey::in_repeat(&self.repeat, instance, &field.name) } else { field.name.clone() }
    }

    /// The key of another answer of a member.
    pub fn member_key(&self, instance: &str, question: &str) -> String {
        AnswerKey::in_repeat(&self.repeat, instance, question)
    }
}

fn field(form: &Form, placed: &PlacedQuestion<'_>, of_member: bool) -> Option<Field> {
    let question = placed.question;
    let name = question.key().to_owned();
    let kind = match &question.kind {
        QuestionKind::Text if matches!(name.as_str(), "name" | "head_name" | "helper_name") => FieldKind::Name,
        QuestionKind::Text if name == "id_number" => FieldKind::Id,
        QuestionKind::Text if name.ends_with("_no") || question.appearance.as_deref() == Some("numbers") => {
            FieldKind::Code
        }
        QuestionKind::Text | QuestionKind::Barcode | QuestionKind::Geopoint => FieldKind::Text,
        QuestionKind::Integer => FieldKind::Integer,
        QuestionKind::Decimal | QuestionKind::Range => FieldKind::Decimal,
        QuestionKind::Date => FieldKind::Date,
        QuestionKind::SelectOne => FieldKind::One,
        QuestionKind::SelectMultiple => FieldKind::Many,
        _ => return None,
    };
    let mut field = Field {
        name,
        of_member,
        kind,
        class: placed.class,
        question: question.clone(),
        choices: Vec::new(),
        words: HashMap::new(),
        labels: Vec::new(),
    };
    add_choices(form, &mut field);
    Some(field)
}

fn add_choices(form: &Form, field: &mut Field) {
    let Some(ChoiceSource::List(list)) = &field.question.choices else { return };
    let Some(list) = form.choice_lists.get(list) else { return };
    let known = WORDS.choices.get(&field.name).or_else(|| {
        // lists of yes and no are everywhere
        let yes_no = list.choices.len() == 2 && list.choice("yes").is_some() && list.choice("no").is_some();
        yes_no.then(|| WORDS.choices.get("yes_no")).flatten()
    });
    let mut weak: Vec<(String, usize)> = Vec::new();
    for (at, choice) in list.choices.iter().enumerate() {
        field.choices.push(choice.name.clone());
        field.words.insert(clean::compared(&choice.name), Some(at));
        for label in choice.labels.0.iter().map(|(_, label)| clean::compared(label)) {
            if let Some((before, inside)) = label.strip_suffix(')').and_then(|l| l.split_once('(')) {
                weak.extend([(before.to_owned(), at), (inside.to_owned(), at)]);
            }
            field.words.insert(label.clone(), Some(at));
            field.labels.push((label, at));
        }
        for word in known.and_then(|k| k.get(&choice.name)).into_iter().flatten() {
            weak.push((clean::compared(word), at));
        }
    }
    // a word for two choices means none of them
    let mut added: HashMap<String, Option<usize>> = HashMap::new();
    for (word, at) in weak {
        added.entry(word).and_modify(|known| *known = known.filter(|k| *k == at)).or_insert(Some(at));
    }
    for (word, at) in added {
        field.words.entry(word).or_insert(at);
    }
}

/// Headers as they are compared. What is more certain comes first: a question's name, its label, a word of offices.
fn headers(form: &Form, fields: &[Field]) -> HashMap<String, usize> {
    let mut headers = HashMap::new();
    let mut add = |header: &str, at: usize| {
        headers.entry(clean::compared(header)).or_insert(at);
    };
    for (at, field) in fields.iter().enumerate() {
        add(&field.name, at);
    }
    for (at, field) in fields.iter().enumerate() {
        for language in &form.def().languages {
            add(field.question.label(language, language), at);
        }
    }
    for (at, field) in fields.iter().enumerate() {
        for word in WORDS.headers.get(&field.name).into_iter().flatten() {
            add(word, at);
        }
    }
    headers
}

#[cfg(test)]
pub mod tests {
    #![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

    use doorstep_core::form::Catalog;

    use super::*;

    /// The fields of the built-in household form.
    pub fn schema() -> Schema {
        Schema::of(Catalog::default().of_type("household").unwrap()).unwrap()
    }

    fn named(header: &str) -> Option<String> {
        let schema = schema();
        let field = &schema.fields[schema.by_header(header)?];
        Some(if field.of_member { format!("member/{}", field.name) } else { field.name.clone() })
    }

    #[test]
    fn headers_of_offices_are_understood() {
        for (header, field) in [
            ("户 编 号", "household_no"),
            ("*姓名", "member/name"),
            ("户主姓名", "head_name"),
            ("身份证号码（18位）", "member/id_number"),
            ("与户主关系", "member/relation"),
            ("出生年月", "member/birth"),
            ("行政村", "village"),
            ("组别", "group"),
            ("Household number", "household_no"),
            ("Date of birth", "member/birth"),
            ("insured", "member/insured"),
            ("联系电话", "phone"),
            ("健康状况", "member/health"),
            ("脱贫年度", "status_year"),
            ("工资性收入(元)", "income_wages"),
        ] {
            assert_eq!(named(header).as_deref(), Some(field), "{header}");
        }
        assert_eq!((named("序号"), named("完全不知道")), (None, None));
        assert!(Words::built_in().is_left("序号"));
    }

    #[test]
    fn every_word_belongs_to_a_question_and_choice_of_the_built_in_form() {
        let schema = schema();
        assert!(!WORDS.headers.is_empty());
        for name in WORDS.headers.keys() {
            assert!(schema.fields.iter().any(|f| f.name == *name), "{name}");
        }
        for (question, choices) in WORDS.choices.iter().filter(|(q, _)| *q != "yes_no") {
            let field = schema.fields.iter().find(|f| f.name == *question).unwrap();
            assert!(choices.keys().all(|c| field.choices.contains(c)), "{question}");
        }
    }

    #[test]
    fn choices_are_found_by_label_name_word_and_by_a_beginning_that_only_one_has() {
        let schema = schema();
        let choice = |field: &str, text: &str| {
            let field = &schema.fields[schema.position(field).unwrap()];
            field.choice(text).map(str::to_owned)
        };
        for (field, text, expected) in [
            ("relation", "户主", "head"),
            ("relation", "长子", "son"),
            ("relation", "外孙", "grandson"),
            ("relation", "Spouse", "spouse"),
            ("status", "脱贫户", "out"),
            ("status", "monitored", "monitored"),
            ("work_province", "广东", "GD"),
            ("sex", "女 ", "female"),
            ("insured", "城乡居民医保（本县）", "resident"),
            ("school_out_county", "√", "yes"),
        ] {
            assert_eq!(choice(field, text).as_deref(), Some(expected), "{field} {text}");
        }
        assert_eq!(choice("status", "脱"), None, "one character says too little");
        assert_eq!(choice("relation", "邻居"), None);
    }

    #[test]
    fn rows_below_a_table_are_known_by_their_first_word() {
        let words = Words::built_in();
        for footer in ["合计", "合计:25户", "填表人:张三", "注:红色必填", "总计25"] {
            assert!(words.is_footer(footer), "{footer}");
        }
        for other in ["合计村", "注册", "张三"] {
            assert!(!words.is_footer(other), "{other}");
        }
    }
}
