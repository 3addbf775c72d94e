//! A sheet with its headers understood: which column holds what, and rows asked by what they hold.

use super::cell::is_blank;
use super::code::Code;
use super::diagnostic::{Diagnostic, Place, Problems};
use super::workbook::{Cell, Row, Sheet, SheetKind};
use crate::form::text::{LocalText, UNNAMED_LANGUAGE};

/// A column: its header as written, and what that means: `bind::relevant` for `relevance`, `label::French (fr)`.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) index: u16,
    pub(super) header: String,
    pub(super) tokens: Vec<String>,
}

impl Column {
    /// The canonical header, tokens joined by `::`.
    pub(super) fn canonical(&self) -> String {
        self.tokens.join("::")
    }

    fn starts_with(&self, path: &[&str]) -> bool {
        self.tokens.len() >= path.len() && self.tokens.iter().zip(path).all(|(t, p)| t == p)
    }
}

/// A sheet and its columns.
#[derive(Debug)]
pub(super) struct Table<'a> {
    pub(super) sheet: &'a Sheet,
    pub(super) columns: Vec<Column>,
}

/// Columns whose text can stand in several languages, with what follows `bind`, `media`.
const TRANSLATABLE: [&[&str]; 9] = [
    &["label"],
    &["hint"],
    &["guidance_hint"],
    &["media", "image"],
    &["media", "big-image"],
    &["media", "audio"],
    &["media", "video"],
    &["bind", "jr:constraintMsg"],
    &["bind", "jr:requiredMsg"],
];

impl<'a> Table<'a> {
    /// Understands the headers of a sheet and reports those that can't stand together.
    pub(super) fn new(sheet: &'a Sheet, kind: SheetKind, problems: &mut Problems) -> Self {
        let headers = || sheet.headers.iter().enumerate().filter_map(|(i, h)| Some((i as u16, h.as_deref()?)));
        let double_colon = headers().any(|(_, h)| h.contains("::"));
        let mut columns: Vec<Column> = Vec::new();
        for (index, header) in headers() {
            let place = Place::sheet(&sheet.name).row(1).column(index.into());
            let (name, tokens) = understand(header, double_colon, kind);
            if let Some(other) = columns.iter().find(|c| c.tokens == tokens) {
                let same = other.header == header;
                if same || name != header {
                    let code = if same { Code::HeaderTwice } else { Code::HeaderSameMeaning };
                    problems.add(Diagnostic::new(code, place).with("header", header).with("other", &other.header));
                    continue;
                }
            }
            if !double_colon && tokens.len() > 1 && header.contains(':') && !header.starts_with("jr:") {
                let diagnostic = Diagnostic::new(Code::SingleColon, place).with("header", header);
                problems.add(diagnostic.with("nearest", header.replace(':', "::")));
            }
            columns.push(Column { index, header: header.to_owned(), tokens });
        }
        Self { sheet, columns }
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.sheet.rows.iter().map(|row| Line { table: self, row })
    }

    pub(super) fn has(&self, path: &[&str]) -> bool {
        self.columns.iter().any(|c| c.starts_with(path))
    }

    /// Where a cell stands.
    pub(super) fn place(&self, row: u32, column: &Column) -> Place {
        let mut place = Place::sheet(&self.sheet.name).row(row).column(column.index.into());
        place.header = Some(column.header.clone());
        place
    }

    /// The languages of the translatable columns, in order; `unnamed` for a column without language. With each the
    /// columns that it has.
    pub(super) fn languages(&self, unnamed: &str) -> Vec<(String, Vec<String>)> {
        let mut languages: Vec<(String, Vec<String>)> = Vec::new();
        for column in &self.columns {
            let Some(path) = TRANSLATABLE.iter().find(|path| column.starts_with(path)) else { continue };
            let language = column.tokens.get(path.len()).map_or(unnamed, String::as_str);
            let what = path.join("::");
            match languages.iter_mut().find(|(l, _)| l == language) {
                Some((_, columns)) => columns.push(what),
                None => languages.push((language.to_owned(), vec![what])),
            }
        }
        languages
    }
}

/// One row of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) table: &'a Table<'a>,
    pub(super) row: &'a Row,
}

impl<'a> Line<'a> {
    /// The cells with their columns.
    pub(super) fn cells(self) -> impl Iterator<Item = (&'a Column, &'a Cell)> {
        self.row.cells.iter().filter_map(move |cell| {
            let column = self.table.columns.iter().find(|c| c.index == cell.column)?;
            Some((column, cell))
        })
    }

    /// The cell of exactly this column.
    pub(super) fn cell(self, path: &[&str]) -> Option<&'a Cell> {
        let exact = |(c, _): &(&Column, &Cell)| c.tokens.len() == path.len() && c.starts_with(path);
        self.cells().filter(exact).last().map(|(_, cell)| cell)
    }

    /// Its text.
    pub(super) fn get(self, path: &[&str]) -> Option<&'a str> {
        self.cell(path).map(|c| &*c.text)
    }

    /// True when the column, or one of its languages or parts, has a value.
    pub(super) fn any(self, path: &[&str]) -> bool {
        self.cells().any(|(c, _)| c.starts_with(path))
    }

    /// A text in all languages; a column without language counts as `unnamed`.
    pub(super) fn texts(self, path: &[&str], unnamed: &str) -> LocalText {
        let mut texts = LocalText::default();
        for (column, cell) in self.cells().filter(|(c, _)| c.starts_with(path)) {
            let language = column.tokens.get(path.len()).map_or(unnamed, String::as_str);
            if column.tokens.len() > path.len() || !texts.0.contains_key(language) {
                texts.0.insert(language.to_owned(), cell.text.to_string());
            }
        }
        texts
    }

    /// The place of a column's cell in this row, or of the row.
    pub(super) fn place(self, path: &[&str]) -> Place {
        let column = self.table.columns.iter().find(|c| c.starts_with(path));
        match column {
            Some(column) => self.table.place(self.row.number, column),
            None => Place::sheet(&self.table.sheet.name).row(self.row.number),
        }
    }
}

/// The language of columns without one.
pub(super) fn unnamed_language(default_language: Option<&str>) -> &str {
    default_language.filter(|l| !is_blank(l)).unwrap_or(UNNAMED_LANGUAGE)
}

/// A header's canonical name (for telling spellings apart) and tokens.
fn understand(header: &str, double_colon: bool, kind: SheetKind) -> (String, Vec<String>) {
    let known = |name: &str| is_column(kind, name);
    if known(header) && alias(kind, header).is_none() {
        return (header.to_owned(), vec![header.to_owned()]);
    }
    let snake = snake_case(header);
    if known(&snake) && alias(kind, &snake).is_none() {
        return (snake.clone(), vec![snake]);
    }
    let separator = if double_colon || header.contains("::") { "::" } else { ":" };
    let mut tokens: Vec<String> = header.split(separator).map(|t| t.trim().to_owned()).collect();
    if separator == ":"
        && let Some(at) = tokens.iter().position(|t| t == "jr")
        && at + 1 < tokens.len()
    {
        let name = format!("jr:{}", tokens.remove(at + 1));
        tokens[at] = name;
    }
    let first = snake_case(&tokens[0]);
    if let Some(meaning) = alias(kind, &first) {
        let canonical = meaning.join("::");
        let tokens = meaning.iter().map(|t| (*t).to_owned()).chain(tokens.into_iter().skip(1)).collect();
        return (canonical, tokens);
    }
    if known(&first) {
        tokens[0].clone_from(&first);
        return (first, tokens);
    }
    (header.to_owned(), tokens)
}

/// Lower case with `_` for each run of spaces.
pub(super) fn snake_case(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join("_").to_lowercase()
}

/// What another name of a column stands for.
fn alias(kind: SheetKind, name: &str) -> Option<&'static [&'static str]> {
    let meaning: &'static [&'static str] = match (kind, name) {
        (SheetKind::Survey, name) => match name {
            "read_only" | "readonly" => &["bind", "readonly"],
            "relevant" | "relevance" => &["bind", "relevant"],
            "caption" => &["label"],
            "appearance" => &["control", "appearance"],
            "required" => &["bind", "required"],
            "constraint" => &["bind", "constraint"],
            "constraining_message" | "constraint_message" => &["bind", "jr:constraintMsg"],
            "calculation" | "calculate" => &["bind", "calculate"],
            "command" => &["type"],
            "tag" | "value" => &["name"],
            "image" => &["media", "image"],
            "big-image" => &["media", "big-image"],
            "audio" => &["media", "audio"],
            "video" => &["media", "video"],
            "count" | "repeat_count" | "jr:count" => &["control", "jr:count"],
            "autoplay" => &["control", "autoplay"],
            "rows" => &["control", "rows"],
            "noapperrorstring" | "no_app_error_string" => &["bind", "jr:noAppErrorString"],
            "requiredmsg" | "required_message" => &["bind", "jr:requiredMsg"],
            "body" => &["control"],
            "save_to" => &["bind", "entities:saveto"],
            "compact_tag" => &["instance", "odk:tag"],
            _ => return None,
        },
        (SheetKind::Choices | SheetKind::ExternalChoices | SheetKind::Osm, name) => match name {
            "caption" => &["label"],
            "list_name" => &["list name"],
            "value" => &["name"],
            "image" => &["media", "image"],
            "big-image" => &["media", "big-image"],
            "audio" => &["media", "audio"],
            "video" => &["media", "video"],
            _ => return None,
        },
        (SheetKind::Settings, name) => match name {
            "form_title" | "set_form_title" => &["title"],
            "form_id" | "set_form_id" => &["id_string"],
            _ => return None,
        },
        (SheetKind::Entities, "list_name") => &["dataset"],
        (SheetKind::Entities, _) => return None,
    };
    Some(meaning)
}

/// True for a column that the sheet's readers know by exactly this name.
fn is_column(kind: SheetKind, name: &str) -> bool {
    match kind {
        SheetKind::Survey => matches!(
            name,
            "name"
                | "label"
                | "type"
                | "default"
                | "guidance_hint"
                | "instance"
                | "query"
                | "trigger"
                | "bind"
                | "choice_filter"
                | "control"
                | "hint"
                | "media"
                | "parameters"
                | "choices"
                | "itemset"
                | "list_name"
                | "sms_field"
        ),
        SheetKind::Choices | SheetKind::ExternalChoices | SheetKind::Osm => {
            matches!(name, "name" | "label" | "media" | "sms_option")
        }
        SheetKind::Settings => SETTINGS.contains(&name),
        SheetKind::Entities => {
            matches!(name, "dataset" | "entity_id" | "create_if" | "update_if" | "repeat" | "label")
        }
    }
}

/// The settings that form tools know.
pub(super) const SETTINGS: [&str; 30] = [
    "title",
    "id_string",
    "version",
    "default_language",
    "instance_name",
    "style",
    "allow_choice_duplicates",
    "name",
    "public_key",
    "submission_url",
    "auto_send",
    "auto_delete",
    "namespaces",
    "clean_text_values",
    "omit_instanceID",
    "instance_id",
    "client_editable",
    "add_none_option",
    "flat",
    "prefix",
    "delimiter",
    "sms_keyword",
    "sms_separator",
    "sms_allow_media",
    "sms_date_format",
    "sms_datetime_format",
    "sms_response",
    "attribute",
    "instance_xmlns",
    "entity_version",
];
