//! The definition of a form as it is stored and sent: plain data. Fields that this version doesn't know survive in `extra`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::summary::ListColumns;
use super::text::LocalText;

/// Columns and fields that this version doesn't know, kept as they came.
pub type Extra = serde_json::Map<String, serde_json::Value>;

/// An expression in the form's own words (`${age} >= 6`); it is parsed where it is evaluated.
pub type Expression = String;

/// An enum whose names are open: a name from a newer version is kept and written back.
macro_rules! open_names {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
            /// A name that this version doesn't know, kept as it came.
            Unknown(String),
        }

        impl $name {
            /// The name in JSON.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Unknown(name) => name,
                }
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                match name {
                    $($text => Self::$variant,)*
                    other => Self::Unknown(other.to_owned()),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                Ok(Self::from(<std::borrow::Cow<'de, str>>::deserialize(d)?.as_ref()))
            }
        }
    };
}

open_names!(/// What a record of the form is about.
    SubjectKind {
    /// Nothing: the record stands for itself.
    None = "none",
    /// One household.
    Household = "household",
    /// One person.
    Person = "person",
    /// One village.
    Village = "village",
    /// Several subjects, named in the answers.
    Several = "several",
});

open_names!(/// What kind of answer a question takes; the names are XLSForm's, in snake case.
    QuestionKind {
    /// Text.
    Text = "text",
    /// A whole number.
    Integer = "integer",
    /// A number.
    Decimal = "decimal",
    /// A day, as `2026-11-24`.
    Date = "date",
    /// A time of day, as `08:30` or `08:30:00`, with or without zone.
    Time = "time",
    /// A day and a time, as `2026-11-24T08:30`, with or without zone.
    DateTime = "date_time",
    /// One choice.
    SelectOne = "select_one",
    /// Any number of choices: one tick a choice, under `question=choice`.
    SelectMultiple = "select_multiple",
    /// All choices in the order of preference, names separated by spaces.
    Rank = "rank",
    /// A text to read; has no answer.
    Note = "note",
    /// Computed from other answers.
    Calculate = "calculate",
    /// Carried along, not shown.
    Hidden = "hidden",
    /// A place: latitude, longitude (degrees, WGS-84), altitude and accuracy (metres), separated by spaces.
    Geopoint = "geopoint",
    /// A line: places separated by semicolons.
    Geotrace = "geotrace",
    /// An outline: a closed line.
    Geoshape = "geoshape",
    /// A picture: the name of its content.
    Image = "image",
    /// A sound.
    Audio = "audio",
    /// A film.
    Video = "video",
    /// Any file.
    File = "file",
    /// The text of a bar code.
    Barcode = "barcode",
    /// A confirmation.
    Acknowledge = "acknowledge",
    /// A number between `start` and `end` (parameters).
    Range = "range",
    /// When filling began.
    Start = "start",
    /// When filling ended.
    End = "end",
    /// The day of filling.
    Today = "today",
    /// Which device.
    DeviceId = "deviceid",
    /// Which user.
    Username = "username",
    /// The device's telephone number.
    PhoneNumber = "phonenumber",
    /// An e-mail address of the user.
    Email = "email",
    /// The log of how the form was filled.
    Audit = "audit",
});

/// Which of a form instance's documents an answer belongs to. Read rights are per document, so per class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sensitivity {
    /// For everyone who may see the record.
    #[default]
    Core,
    /// ID numbers, health, income, telephone.
    Sensitive,
    /// For the office only.
    Office,
}

impl Sensitivity {
    /// The class's name, as in the record type `household.sensitive`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Sensitive => "sensitive",
            Self::Office => "office",
        }
    }

    fn is_core(&self) -> bool {
        *self == Self::Core
    }
}

/// A form: one version of one survey.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FormDef {
    /// The form's name, unique in its township.
    pub name: String,
    /// Counts up with each publication; an XLSForm's own version text stands in `settings`.
    pub version: u32,
    /// Titles.
    pub titles: LocalText,
    /// The type of the records that it makes.
    pub record_type: String,
    /// What a record is about.
    #[serde(default = "no_subject")]
    pub subject: SubjectKind,
    /// Languages, as the labels spell them, in the order to offer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
    /// The language shown when the user's has no text.
    pub default_language: String,
    /// Questions, groups and repeats, in order.
    pub items: Vec<Item>,
    /// Choice lists by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub choice_lists: BTreeMap<String, ChoiceList>,
    /// The lists attached to the form, by file name, as CSV text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attachments: BTreeMap<String, String>,
    /// What lists show of the form's records.
    #[serde(default, skip_serializing_if = "ListColumns::is_empty")]
    pub list: ListColumns,
    /// The settings sheet as it came (`form_id`, `version`, `instance_name`, `style` ...).
    #[serde(default, skip_serializing_if = "Extra::is_empty")]
    pub settings: Extra,
    /// What this version doesn't know.
    #[serde(flatten)]
    pub extra: Extra,
}

fn no_subject() -> SubjectKind {
    SubjectKind::None
}

/// One row or block of a form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "item", rename_all = "snake_case")]
pub enum Item {
    /// A question, or anything else that holds one value.
    Question(Box<Question>),
    /// A heading over several items.
    Group(Group),
    /// Items asked once for each of a number of things, such as household members.
    Repeat(Repeat),
}

/// A question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// The name, by which expressions refer to it.
    pub name: String,
    /// The answer's key where the name alone isn't unique in the form; without `/`, `#`, `=` and `@`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The kind of answer.
    #[serde(rename = "type")]
    pub kind: QuestionKind,
    /// Where the choices come from, for questions that have some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choices: Option<ChoiceSource>,
    /// Labels.
    #[serde(default, skip_serializing_if = "LocalText::is_empty")]
    pub labels: LocalText,
    /// Hints.
    #[serde(default, skip_serializing_if = "LocalText::is_empty")]
    pub hints: LocalText,
    /// Longer guidance.
    #[serde(default, skip_serializing_if = "LocalText::is_empty")]
    pub guidance: LocalText,
    /// Media by kind (`image`, `big-image`, `audio`, `video`): a file name per language.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub media: BTreeMap<String, LocalText>,
    /// When an answer must be given; `true()` for always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<Expression>,
    /// What to say when a required answer is missing.
    #[serde(default, skip_serializing_if = "LocalText::is_empty")]
    pub required_messages: LocalText,
    /// When the question applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relevant: Option<Expression>,
    /// What an answer must fulfil.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraint: Option<Expression>,
    /// What to say when it doesn't.
    #[serde(default, skip_serializing_if = "LocalText::is_empty")]
    pub constraint_messages: LocalText,
    /// How a computed answer follows from others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calculation: Option<Expression>,
    /// The question whose change makes `calculation` run, where it doesn't always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// The first answer: a constant, or an expression where `dynamic_default` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// True when `default` is an expression, evaluated once.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dynamic_default: bool,
    /// Which choices are offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice_filter: Option<Expression>,
    /// How to show it (`minimal`, `multiline`, `w2` ...).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appearance: Option<String>,
    /// When the answer can't be changed by hand; `true()` for always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<Expression>,
    /// Parameters of the kind (`start`, `end`, `step`, `randomize`, `max-pixels` ...).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// The sensitivity class of the answer.
    #[serde(default, skip_serializing_if = "Sensitivity::is_core")]
    pub class: Sensitivity,
    /// True when a computed answer stays in its own class although its inputs have a higher one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub declared_public: bool,
    /// What this version doesn't know, `bind::`, `body::` and `instance::` columns included.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Question {
    /// The answer's key within its repeat instance (or the form).
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or(&self.name)
    }

    /// The label in `language`, else in `fallback`, else any, else the name.
    pub fn label(&self, language: &str, fallback: &str) -> &str {
        self.labels.get(language, fallback).unwrap_or(&self.name)
    }
}

/// A heading over several items. Its relevance and class hold for everything in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The name.
    pub name: String,
    /// Labels.
    #[serde(default, skip_serializing_if = "LocalText::is_empty")]
    pub labels: LocalText,
    /// When the group applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relevant: Option<Expression>,
    /// How to show it (`field-list` ...).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appearance: Option<String>,
    /// The least class of the answers in it.
    #[serde(default, skip_serializing_if = "Sensitivity::is_core")]
    pub class: Sensitivity,
    /// Its items.
    pub items: Vec<Item>,
    /// What this version doesn't know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Items asked once for each of a number of things.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repeat {
    /// The name, first part of the answers' keys: `name#instance/question`.
    pub name: String,
    /// Labels.
    #[serde(default, skip_serializing_if = "LocalText::is_empty")]
    pub labels: LocalText,
    /// When the repeat applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relevant: Option<Expression>,
    /// How many there are, where the user doesn't decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<Expression>,
    /// How to show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appearance: Option<String>,
    /// The least class of the answers in it, and the class of order and removal marks.
    #[serde(default, skip_serializing_if = "Sensitivity::is_core")]
    pub class: Sensitivity,
    /// Its items.
    pub items: Vec<Item>,
    /// What this version doesn't know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Where a question's choices come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChoiceSource {
    /// A choice list of the form.
    List(String),
    /// An attached file.
    File(String),
    /// The answers to a question inside a repeat.
    Question(String),
    /// A list of the sheet `external_choices`.
    External(String),
}

/// A choice list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ChoiceList {
    /// The choices, in the order to show.
    pub choices: Vec<Choice>,
    /// True when a name may stand twice (lists that a filter narrows).
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_duplicates: bool,
    /// What this version doesn't know.
    #[serde(flatten)]
    pub extra: Extra,
}

impl ChoiceList {
    /// The choice with this name.
    pub fn choice(&self, name: &str) -> Option<&Choice> {
        self.choices.iter().find(|c| c.name == name)
    }
}

/// One choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The name, which is the answer.
    pub name: String,
    /// Labels.
    #[serde(default, skip_serializing_if = "LocalText::is_empty")]
    pub labels: LocalText,
    /// Media by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub media: BTreeMap<String, LocalText>,
    /// Further columns, for filters.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Choice {
    /// The label in `language`, else in `fallback`, else any, else the name.
    pub fn label(&self, language: &str, fallback: &str) -> &str {
        self.labels.get(language, fallback).unwrap_or(&self.name)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl FormDef {
    /// Reads a definition.
    ///
    /// # Errors
    /// When the text isn't the JSON of a form.
    pub fn from_json(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// The title in `language`, else in the form's default language, else the name.
    pub fn title(&self, language: &str) -> &str {
        self.titles.get(language, &self.default_language).unwrap_or(&self.name)
    }

    /// The question with this name: the first, where groups repeat a name.
    pub fn question(&self, name: &str) -> Option<&Question> {
        self.questions().into_iter().map(|q| q.question).find(|q| q.name == name)
    }

    /// The choice list that a question takes its choices from, where the form holds it.
    pub fn choices_of(&self, question: &Question) -> Option<&ChoiceList> {
        match &question.choices {
            Some(ChoiceSource::List(list)) => self.choice_lists.get(list),
            _ => None,
        }
    }

    /// The label of a choice of a question, else the choice's name.
    pub fn choice_label<'a>(&'a self, question: &Question, choice: &'a str, language: &str) -> &'a str {
        let found = self.choices_of(question).and_then(|list| list.choice(choice));
        found.map_or(choice, |c| c.label(language, &self.default_language))
    }

    /// All questions in order, each with its place.
    pub fn questions(&self) -> Vec<PlacedQuestion<'_>> {
        let mut placed = Vec::new();
        place(&self.items, &Place::default(), &mut placed);
        placed
    }
}

/// A question with its place in the form.
#[derive(Debug, Clone)]
pub struct PlacedQuestion<'a> {
    /// The question.
    pub question: &'a Question,
    /// Names of the groups and repeats around it, outermost first.
    pub path: Vec<&'a str>,
    /// Names of the repeats among them.
    pub repeats: Vec<&'a str>,
    /// Its class, those of the groups around it included.
    pub class: Sensitivity,
}

#[derive(Debug, Clone, Default)]
struct Place<'a> {
    path: Vec<&'a str>,
    repeats: Vec<&'a str>,
    class: Sensitivity,
}

fn place<'a>(items: &'a [Item], at: &Place<'a>, out: &mut Vec<PlacedQuestion<'a>>) {
    for item in items {
        match item {
            Item::Question(question) => out.push(PlacedQuestion {
                question,
                path: at.path.clone(),
                repeats: at.repeats.clone(),
                class: at.class.max(question.class),
            }),
            Item::Group(group) => {
                let mut inner = at.clone();
                inner.path.push(&group.name);
                inner.class = inner.class.max(group.class);
                place(&group.items, &inner, out);
            }
            Item::Repeat(repeat) => {
                let mut inner = at.clone();
                inner.path.push(&repeat.name);
                inner.repeats.push(&repeat.name);
                inner.class = inner.class.max(repeat.class);
                place(&repeat.items, &inner, out);
            }
        }
    }
}
