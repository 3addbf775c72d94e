//! What the `type` column may say.

use crate::form::definition::QuestionKind;

/// How a question is put to the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    /// Not at all.
    None,
    Input,
    Upload,
    SelectOne,
    SelectMultiple,
    Rank,
    Range,
    Trigger,
    /// It happens by itself.
    Action,
}

impl Control {
    /// The element of an XForm.
    pub(super) fn element(self) -> Option<&'static str> {
        Some(match self {
            Self::None | Self::Action => return None,
            Self::Input => "input",
            Self::Upload => "upload",
            Self::SelectOne => "select1",
            Self::SelectMultiple => "select",
            Self::Rank => "odk:rank",
            Self::Range => "range",
            Self::Trigger => "trigger",
        })
    }

    /// True when the user sees it, so that it needs something to read.
    pub(super) fn is_shown(self) -> bool {
        self.element().is_some()
    }
}

/// A type of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Type {
    /// The name to go by.
    pub(super) name: &'static str,
    /// The kind's name in a definition.
    pub(super) kind: &'static str,
    /// The data type in an XForm.
    pub(super) bind: &'static str,
    pub(super) control: Control,
    /// Constraint and hint that come with it.
    pub(super) built_in: Option<(&'static str, &'static str)>,
    /// False when it is kept, but nothing happens for it.
    pub(super) runs: bool,
}

impl Type {
    pub(super) fn kind(&self) -> QuestionKind {
        QuestionKind::from(self.kind)
    }
}

/// What a type cell turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    Question(Type),
    Select {
        control: Control,
        list: String,
        command: &'static str,
        other: bool,
    },
    Begin(Block),
    End(Block),
    /// A file attached to the form, with its ending.
    ExternalFile(&'static str),
    /// A setting that stands on the survey sheet.
    Setting(&'static str),
    /// Once part of XLSForm, understood by nobody any more.
    Dead(&'static str),
    /// A select without list, or with more than one word after it.
    SelectWithoutList(&'static str),
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    Group,
    Repeat,
    Loop,
}

impl Block {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Repeat => "repeat",
            Self::Loop => "loop",
        }
    }
}

const CONTROLS: [(&str, Block); 5] = [
    ("group", Block::Group),
    ("lgroup", Block::Repeat),
    ("repeat", Block::Repeat),
    ("loop", Block::Loop),
    ("looped group", Block::Repeat),
];

const SELECTS: [(&str, Control); 14] = [
    ("add select one prompt using", Control::SelectOne),
    ("add select multiple prompt using", Control::SelectMultiple),
    ("select all that apply from", Control::SelectMultiple),
    ("select one from", Control::SelectOne),
    ("select1", Control::SelectOne),
    ("select_one", Control::SelectOne),
    ("select one", Control::SelectOne),
    ("select_multiple", Control::SelectMultiple),
    ("select all that apply", Control::SelectMultiple),
    ("select_one_external", Control::Input),
    ("select_one_from_file", Control::SelectOne),
    ("select_multiple_from_file", Control::SelectMultiple),
    ("select one from file", Control::SelectOne),
    ("select multiple from file", Control::SelectMultiple),
];

/// Reads a type cell; true when it only fits with other capitals.
pub(super) fn meaning(cell: &str) -> (Meaning, bool) {
    let exact = exact_meaning(cell);
    if !matches!(exact, Meaning::Unknown | Meaning::SelectWithoutList(_)) {
        return (exact, false);
    }
    // the list's name keeps its capitals
    let lower = match cell.split_once(' ') {
        Some((first, rest)) if SELECTS.iter().any(|(c, _)| *c == first.to_lowercase()) => {
            format!("{} {rest}", first.to_lowercase())
        }
        _ => cell.to_lowercase(),
    };
    match exact_meaning(&lower) {
        Meaning::Unknown => (exact, false),
        other => (other, lower != cell),
    }
}

fn exact_meaning(cell: &str) -> Meaning {
    if let Some(block) = begin(cell) {
        return Meaning::Begin(block);
    }
    let end = cell.strip_prefix("end").and_then(|rest| rest.strip_prefix([' ', '_']));
    if let Some((_, block)) = end.and_then(|rest| CONTROLS.iter().find(|(name, _)| *name == rest)) {
        return Meaning::End(*block);
    }
    if let Some(select) = select(cell) {
        return select;
    }
    match cell {
        "csv-external" => return Meaning::ExternalFile("csv"),
        "xml-external" => return Meaning::ExternalFile("xml"),
        "form_title" | "set_form_title" | "set form title" => return Meaning::Setting("title"),
        "form_id" | "set_form_id" | "set form id" => return Meaning::Setting("id_string"),
        "prefix" => return Meaning::Setting("prefix"),
        "include" => return Meaning::Dead("include"),
        _ => {}
    }
    if cell == "osm" || cell.starts_with("osm ") {
        return Meaning::Dead("osm");
    }
    if cell.starts_with("cascading_select") || cell.starts_with("cascading select") {
        return Meaning::Dead("cascading_select");
    }
    match question(cell) {
        Some(found) => Meaning::Question(found),
        None => {
            match SELECTS.iter().find(|(c, _)| *c == cell || cell.strip_prefix(c).is_some_and(|r| r.starts_with(' '))) {
                Some((command, _)) => Meaning::SelectWithoutList(command),
                None if cell == "rank" || cell.starts_with("rank ") => Meaning::SelectWithoutList("rank"),
                None => Meaning::Unknown,
            }
        }
    }
}

fn begin(cell: &str) -> Option<Block> {
    let rest = cell.strip_prefix("begin")?.strip_prefix([' ', '_'])?;
    CONTROLS.iter().find_map(|(name, block)| {
        let after = rest.strip_prefix(name)?;
        let fits = match after.strip_prefix(' ') {
            None => after.is_empty(),
            Some(list) => {
                let list = list.strip_prefix("over ").unwrap_or(list);
                !list.is_empty() && !list.contains(char::is_whitespace)
            }
        };
        fits.then_some(*block)
    })
}

fn select(cell: &str) -> Option<Meaning> {
    let (spec, other) = [" or specify other", " or_other", " or other"]
        .iter()
        .find_map(|suffix| cell.strip_suffix(suffix).map(|spec| (spec, true)))
        .unwrap_or((cell, false));
    let of = |spec: &str, other: bool| {
        let commands = SELECTS.iter().chain(&[("rank", Control::Rank)]);
        commands.copied().find_map(|(command, control)| {
            let list = spec.strip_prefix(command)?.strip_prefix(' ')?;
            let fits = !list.is_empty() && !list.contains(char::is_whitespace);
            fits.then(|| Meaning::Select { control, list: list.to_owned(), command, other })
        })
    };
    of(spec, other).or_else(|| if other { of(cell, false) } else { None })
}

macro_rules! types {
    ($($($alias:literal)|+ => $kind:literal, $bind:literal, $control:ident;)*) => {
        fn plain(name: &str) -> Option<Type> {
            Some(match name {
                $($($alias)|+ => {
                    const NAMES: &[&str] = &[$($alias),+];
                    Type { name: NAMES[0], kind: $kind, bind: $bind, control: Control::$control, built_in: None, runs: true }
                })*
                _ => return None,
            })
        }

        /// All names of types, for hints.
        pub(super) const NAMES: &[&str] = &[$($($alias),+),*];
    };
}

types! {
    "text" | "string" | "q string" | "add text prompt" => "text", "string", Input;
    "integer" | "int" | "q int" | "add integer prompt" => "integer", "int", Input;
    "decimal" | "q decimal" | "add decimal prompt" => "decimal", "decimal", Input;
    "date" | "q date" | "add date prompt" => "date", "date", Input;
    "time" => "time", "time", Input;
    "dateTime" | "datetime" | "date time" | "q date time" | "q dateTime" | "add date time prompt" | "add dateTime prompt"
        => "date_time", "dateTime", Input;
    "note" | "q note" | "add note prompt" => "note", "string", Input;
    "calculate" | "q calculate" | "add calculate prompt" => "calculate", "string", None;
    "hidden" => "hidden", "string", None;
    "acknowledge" | "trigger" | "q acknowledge" | "add acknowledge prompt" => "acknowledge", "string", Trigger;
    "geopoint" | "gps" | "location" | "q geopoint" | "q location" | "add location prompt" => "geopoint", "geopoint", Input;
    "geotrace" | "q geotrace" => "geotrace", "geotrace", Input;
    "geoshape" | "q geoshape" => "geoshape", "geoshape", Input;
    "image" | "photo" | "q picture" | "q image" | "add image prompt" | "add photo prompt" => "image", "binary", Upload;
    "audio" | "q audio" | "add audio prompt" => "audio", "binary", Upload;
    "video" | "q video" | "add video prompt" => "video", "binary", Upload;
    "file" | "add file prompt" => "file", "binary", Upload;
    "barcode" | "q barcode" | "add barcode prompt" => "barcode", "barcode", Input;
    "range" => "range", "int", Range;
    "start" | "start time" | "get start time" => "start", "dateTime", None;
    "end" | "end time" | "get end time" => "end", "dateTime", None;
    "today" | "get today" => "today", "date", None;
    "deviceid" | "imei" | "device id" | "get device id" => "deviceid", "string", None;
    "username" => "username", "string", None;
    "phonenumber" | "get phone number" => "phonenumber", "string", None;
    "email" => "email", "string", None;
    "audit" => "audit", "binary", None;
    "percentage" => "integer", "int", Input;
    "phone number" => "text", "string", Input;
    "number of days in last month" | "number of days in last six months" | "number of days in last year"
        => "integer", "int", Input;
    "simserial" | "get sim id" | "sim id" => "simserial", "string", None;
    "subscriberid" | "subscriber id" | "get subscriber id" => "subscriberid", "string", None;
    "uri:deviceid" => "uri:deviceid", "string", None;
    "uri:phonenumber" => "uri:phonenumber", "string", None;
    "uri:simserial" => "uri:simserial", "string", None;
    "uri:subscriberid" => "uri:subscriberid", "string", None;
    "uri:username" => "uri:username", "string", None;
    "uri:email" => "uri:email", "string", None;
    "start-geopoint" => "start-geopoint", "geopoint", Action;
    "background-audio" => "background-audio", "binary", Action;
    "background-geopoint" => "background-geopoint", "geopoint", Trigger;
}

fn question(name: &str) -> Option<Type> {
    let mut found = plain(name)?;
    found.built_in = match name {
        "percentage" => Some(("0 <= . and . <= 100", "")),
        "phone number" => Some(("regex(., '^\\d*$')", "Enter numbers only.")),
        "number of days in last month" => Some(("0 <= . and . <= 31", "Enter a number 0-31.")),
        "number of days in last six months" => Some(("0 <= . and . <= 183", "Enter a number 0-183.")),
        "number of days in last year" => Some(("0 <= . and . <= 365", "Enter a number 0-365.")),
        _ => None,
    };
    found.runs = !(matches!(found.kind, "audit" | "simserial" | "subscriberid")
        || found.kind.starts_with("uri:")
        || found.kind.contains("background")
        || found.kind == "start-geopoint");
    Some(found)
}
