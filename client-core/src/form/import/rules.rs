//! Rules about sheets, languages, and the whole form, once its rows are read.

use std::collections::{BTreeMap, HashMap};

use super::code::Code;
use super::diagnostic::{Diagnostic, Place, Problems};
use super::logic::{self, Names};
use super::nearest::{distance, nearest};
use super::node::{Nodes, Role, Shape, Use};
use super::reference::only_reference;
use super::settings::Settings;
use super::survey::Survey;
use super::table::{Table, snake_case};
use super::workbook::{SheetKind, Workbook};
use crate::form::definition::{Choice, ChoiceSource, Question};
use crate::form::pack::Pack;
use crate::form::phone_list::PhoneList;
use crate::form::text::UNNAMED_LANGUAGE;
use crate::record::key;
use crate::record::limits::REPEAT_DEPTH;

/// Columns of the survey sheet as authors write them, for hints.
const SURVEY_COLUMNS: [&str; 27] = [
    "type",
    "name",
    "label",
    "hint",
    "required",
    "required_message",
    "relevant",
    "constraint",
    "constraint_message",
    "calculation",
    "choice_filter",
    "appearance",
    "default",
    "read_only",
    "repeat_count",
    "parameters",
    "trigger",
    "guidance_hint",
    "image",
    "big-image",
    "audio",
    "video",
    "autoplay",
    "save_to",
    "doorstep::class",
    "doorstep::flag",
    "doorstep::public",
];

/// Says what is missing or misspelt among the sheets.
pub(super) fn check_sheets(workbook: &Workbook, problems: &mut Problems) {
    let missing = |kind: SheetKind| workbook.sheet(kind).is_none();
    for name in &workbook.names {
        if name.starts_with('_') || SheetKind::of(name).is_some() || workbook.names.len() == 1 {
            continue;
        }
        let lower = name.trim().to_lowercase();
        let meant = SheetKind::ALL
            .iter()
            .filter(|(kind, _)| missing(*kind) && !matches!(kind, SheetKind::Survey | SheetKind::Osm))
            .find(|(_, known)| distance(&lower, known, 2) <= 2);
        if let Some((_, known)) = meant {
            let diagnostic = Diagnostic::new(Code::SheetMisspelled, Place::sheet(name)).with("name", name);
            problems.add(diagnostic.nearest(Some(known)));
        }
    }
    match workbook.sheet(SheetKind::Survey) {
        None => {
            let close = |name: &&String| distance(&name.trim().to_lowercase(), "survey", 2) <= 2;
            let meant = workbook.names.iter().find(close).map(String::as_str);
            problems.add(Diagnostic::new(Code::NoSurveySheet, Place::default()).nearest(meant));
        }
        Some(sheet) if sheet.headers.iter().all(Option::is_none) => {
            problems.add(Diagnostic::new(Code::NoHeader, Place::sheet(&sheet.name).row(1)));
        }
        Some(_) => {}
    }
}

/// The survey needs a `type` column; also hints at misspelt columns.
pub(super) fn has_type_column(table: &Table<'_>, problems: &mut Problems) -> bool {
    for column in &table.columns {
        let known = SURVEY_COLUMNS.contains(&column.header.as_str());
        if column.tokens.len() > 1 || known || table.sheet.headers.len() > 1_000 {
            continue;
        }
        let unused = SURVEY_COLUMNS.iter().copied().filter(|name| !table.columns.iter().any(|c| c.header == **name));
        if let Some(meant) = nearest(&snake_case(&column.header), unused)
            && !is_known_meaning(&column.tokens[0])
        {
            let diagnostic = Diagnostic::new(Code::UnknownColumn, table.place(1, column));
            problems.add(diagnostic.with("name", &column.header).nearest(Some(meant)));
        }
    }
    let has = table.has(&["type"]);
    if !has {
        let place = Place::sheet(&table.sheet.name).row(1);
        let diagnostic = Diagnostic::new(Code::MissingColumn, place).with("name", "type");
        problems.add(diagnostic.with("sheet", &table.sheet.name));
    }
    has
}

fn is_known_meaning(token: &str) -> bool {
    matches!(
        token,
        "type"
            | "name"
            | "label"
            | "hint"
            | "default"
            | "trigger"
            | "parameters"
            | "choice_filter"
            | "guidance_hint"
            | "media"
            | "bind"
            | "control"
            | "instance"
            | "query"
            | "disabled"
            | "intent"
    )
}

/// The form's languages.
#[derive(Debug, Default)]
pub(super) struct Languages {
    pub(super) all: Vec<String>,
    pub(super) default: String,
}

/// Collects the languages of survey and choices and says what they lack.
pub(super) fn languages(
    workbook: &Workbook,
    survey: &Table<'_>,
    settings: &Settings,
    problems: &mut Problems,
) -> Languages {
    let unnamed = settings.unnamed();
    let mut silent = Problems::default();
    let choices = workbook.sheet(SheetKind::Choices).map(|s| Table::new(s, SheetKind::Choices, &mut silent));
    let mut all: Vec<String> = Vec::new();
    for table in std::iter::once(survey).chain(&choices) {
        let found = table.languages(unnamed);
        if found.len() > 1 {
            report_missing(table, &found, problems);
        }
        for (language, _) in found {
            if !all.contains(&language) {
                all.push(language);
            }
        }
    }
    let wanted = settings.default_language.as_deref().unwrap_or(UNNAMED_LANGUAGE);
    let default = match all.iter().find(|l| *l == wanted).or_else(|| all.first()) {
        Some(language) => language.clone(),
        None => UNNAMED_LANGUAGE.to_owned(),
    };
    if let Some(name) = &settings.default_language
        && *name != default
        && !all.is_empty()
    {
        let diagnostic = Diagnostic::new(Code::DefaultLanguageUnknown, Place::sheet("settings").row(2));
        let nearest = nearest(name, all.iter().map(String::as_str));
        problems.add(diagnostic.with("name", name).with("other", &default).nearest(nearest));
    }
    if all == [UNNAMED_LANGUAGE] {
        all.clear();
    }
    Languages { all, default }
}

fn report_missing(table: &Table<'_>, found: &[(String, Vec<String>)], problems: &mut Problems) {
    let mut columns: Vec<&String> = found.iter().flat_map(|(_, columns)| columns).collect();
    columns.sort();
    columns.dedup();
    for (language, has) in found {
        let missing: Vec<&str> = columns.iter().filter(|c| !has.contains(c)).map(|c| plain_name(c)).collect();
        if !missing.is_empty() {
            let place = Place::sheet(&table.sheet.name).row(1);
            let diagnostic = Diagnostic::new(Code::MissingTranslation, place).with("language", language);
            problems.add(diagnostic.with("columns", missing.join(", ")));
        }
    }
}

/// A translatable column as authors write it.
fn plain_name(canonical: &str) -> &str {
    match canonical {
        "bind::jr:constraintMsg" => "constraint_message",
        "bind::jr:requiredMsg" => "required_message",
        other => other.strip_prefix("media::").unwrap_or(other),
    }
}

/// Rules that need all rows: references, triggers, empty groups, names of added nodes, files.
pub(super) fn check_form(survey: &mut Survey<'_>, workbook: &Workbook, table: &Table<'_>) {
    let mut found = Problems::default();
    check_references(survey, workbook, table, &mut found);
    check_targets(survey, &mut found);
    check_blocks(survey, table, &mut found);
    check_added_names(survey, table, &mut found);
    for name in logic::pulldata_files(&survey.uses) {
        survey.files.entry(format!("{name}.csv")).or_insert(0);
    }
    check_files(survey, table, &mut found);
    check_searches(survey, table, &mut found);
    check_first_labels(survey, &mut found);
    check_lists_of_records(survey, &mut found);
    for diagnostic in found.into_sorted() {
        survey.problems.add(diagnostic);
    }
    if let Some(text) = survey.settings.instance_name.clone() {
        let place = Place::sheet("settings").row(2);
        survey.uses.push(Use { node: Nodes::ROOT, role: Role::InstanceName, text, place, list: None });
    }
    let uses = survey.entities.uses();
    survey.uses.extend(uses);
}

fn check_references(survey: &Survey<'_>, workbook: &Workbook, table: &Table<'_>, problems: &mut Problems) {
    let names = Names::new(survey);
    let mut silent = Problems::default();
    names.check_sheet(table, SheetKind::Survey, problems);
    for kind in [SheetKind::Settings, SheetKind::Entities, SheetKind::Choices] {
        if let Some(sheet) = workbook.sheet(kind) {
            names.check_sheet(&Table::new(sheet, kind, &mut silent), kind, problems);
        }
    }
    let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, node) in survey.nodes.0.iter().enumerate() {
        by_name.entry(&node.name).or_insert(index);
    }
    survey.entities.check_scopes(&survey.nodes, &by_name, problems);
    survey.entities.check_attached(&survey.instances, problems);
    survey.entities.check_types(problems);
    for (name, _, place) in &survey.choice_questions {
        match by_name.get(name.as_str()) {
            None => {
                let nearest = nearest(name, survey.names.keys().map(String::as_str));
                let diagnostic = Diagnostic::new(Code::UnknownReference, place.clone());
                problems.add(diagnostic.with("name", name).nearest(nearest));
            }
            Some(node) if !survey.nodes.around(*node).any(|n| survey.nodes.is_repeat(n)) => {
                problems.add(Diagnostic::new(Code::ChoicesNotRepeated, place.clone()).with("name", name));
            }
            Some(_) => {}
        }
    }
}

/// Triggers and places to choose from must be there.
fn check_targets(survey: &Survey<'_>, problems: &mut Problems) {
    let hidden: HashMap<&str, bool> = survey
        .nodes
        .0
        .iter()
        .filter_map(|n| match &n.shape {
            Shape::Question { hidden, .. } => Some((n.name.as_str(), *hidden)),
            _ => None,
        })
        .collect();
    for trigger in &survey.triggers {
        let place = trigger.place.clone();
        if !survey.questions.contains(&trigger.target) {
            let nearest = nearest(&trigger.target, survey.questions.iter().map(String::as_str));
            let diagnostic = Diagnostic::new(Code::TriggerUnknown, place).with("name", &trigger.target);
            problems.add(diagnostic.nearest(nearest));
        } else if survey.names.get(&trigger.target).is_some_and(|n| *n > 1) {
            problems.add(Diagnostic::new(Code::AmbiguousReference, place).with("name", &trigger.target));
        } else if hidden.get(trigger.target.as_str()) == Some(&true) {
            problems.add(Diagnostic::new(Code::TriggerHidden, place).with("name", &trigger.target));
        }
    }
    for (target, place) in &survey.geometries {
        let known = survey.instances.contains(target)
            || survey.lists.get(target).is_some()
            || survey.entities.lists().any(|l| l == target)
            || only_reference(target).is_some_and(|name| survey.repeats.contains_key(name));
        if !known {
            problems.add(Diagnostic::new(Code::UnknownGeometry, place.clone()).with("value", target));
        }
    }
}

/// Groups that show nothing, repeats too deep or with names that answer keys don't take.
fn check_blocks(survey: &Survey<'_>, table: &Table<'_>, problems: &mut Problems) {
    let nodes = &survey.nodes;
    let place = |row: u32| Place::sheet(&table.sheet.name).row(row);
    for (index, node) in nodes.0.iter().enumerate().skip(1) {
        let empty = match &node.shape {
            Shape::Group(_) => !node.children.iter().any(|c| is_in_body(nodes, *c)),
            Shape::Repeat(_) => node.children.is_empty(),
            _ => false,
        };
        if empty {
            problems.add(Diagnostic::new(Code::EmptyBlock, place(node.row)).with("name", &node.name));
        }
        if nodes.is_repeat(index) {
            if !key::is_name(&node.name) {
                problems.add(Diagnostic::new(Code::RepeatNotLatin, place(node.row)).with("name", &node.name));
            }
            if nodes.around(index).filter(|n| nodes.is_repeat(*n)).count() >= REPEAT_DEPTH {
                problems.add(Diagnostic::new(Code::RepeatsTooDeep, place(node.row)));
            }
        }
    }
    if nodes.0.len() == 1 && !survey.problems.refused() {
        problems.add(Diagnostic::new(Code::NoQuestions, Place::sheet(&table.sheet.name)));
    }
}

/// True for what an XForm shows: groups, repeats, and questions that are asked.
fn is_in_body(nodes: &Nodes, node: usize) -> bool {
    match &nodes.0[node].shape {
        Shape::Root => false,
        Shape::Group(_) | Shape::Repeat(_) => true,
        Shape::Question { control, hidden, .. } => control.is_shown() && !hidden,
    }
}

/// A node added for a column (`_count`, `_other`) may not take the name of a row beside it.
fn check_added_names(survey: &Survey<'_>, table: &Table<'_>, problems: &mut Problems) {
    for parent in &survey.nodes.0 {
        let mut seen: HashMap<&str, u32> = HashMap::new();
        for child in parent.children.iter().map(|c| &survey.nodes.0[*c]) {
            match seen.get(child.name.as_str()) {
                Some(other) => {
                    let place = Place::sheet(&table.sheet.name).row(child.row);
                    let diagnostic = Diagnostic::new(Code::AddedNameTwice, place).with("name", &child.name);
                    problems.add(diagnostic.with("other_row", other.to_string()));
                }
                None => {
                    seen.insert(&child.name, child.row);
                }
            }
        }
    }
}

/// Files to attach, and names that would stand for two things.
fn check_files(survey: &Survey<'_>, table: &Table<'_>, problems: &mut Problems) {
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for (file, row) in &survey.files {
        let place = match row {
            0 => Place::sheet(&table.sheet.name),
            row => Place::sheet(&table.sheet.name).row(*row),
        };
        let stem = file.rsplit_once('.').map_or(file.as_str(), |(stem, _)| stem);
        let clash = seen.insert(stem, file).is_some_and(|other| other != file) || survey.lists.get(stem).is_some();
        if clash {
            problems.add(Diagnostic::new(Code::FileClash, place.clone()).with("name", stem));
        }
        if !on_every_phone(file) {
            problems.add(Diagnostic::new(Code::MissingFile, place).with("name", file));
        }
    }
}

/// True for lists that phones make whatever forms were published.
fn on_every_phone(file: &str) -> bool {
    match PhoneList::named(file) {
        Some(PhoneList::Areas | PhoneList::AllAreas | PhoneList::OfSubject(_)) => true,
        Some(PhoneList::Records(record_type)) => Pack::built_in().form_of_type(&record_type).is_some(),
        None => false,
    }
}

/// ODK takes a list's labels from its first choice, unless the list has translations, media or labels with answers in
/// them: a list in use whose first choice has none is refused there.
fn check_first_labels(survey: &Survey<'_>, problems: &mut Problems) {
    for (name, list) in survey.lists.lists.iter().filter(|(_, l)| l.used) {
        let Some(first) = list.list.choices.first() else { continue };
        let unnamed = survey.settings.unnamed();
        let apart = |c: &Choice| {
            !c.media.is_empty() || c.labels.0.iter().any(|(language, text)| language != unnamed || text.contains("${"))
        };
        if first.labels.is_empty() && !list.list.choices.iter().any(apart) {
            let place = list.rows.first().map_or_else(Place::default, |row| Place::sheet("choices").row(*row));
            problems.add(Diagnostic::new(Code::FirstChoiceUnlabelled, place).with("list", name));
        }
    }
}

/// A list for `search()` serves no other question, and isn't a file.
fn check_searches(survey: &Survey<'_>, table: &Table<'_>, problems: &mut Problems) {
    let selects = survey.nodes.0.iter().filter_map(|node| match &node.shape {
        Shape::Question { question, .. } => Some((node, question, question.choices.as_ref()?)),
        _ => None,
    });
    let searches = |q: &Question| q.appearance.as_deref().is_some_and(|a| a.contains("search(") && a.contains(')'));
    let mut searched: HashMap<&str, u32> = HashMap::new();
    for (node, question, source) in selects.clone().filter(|(_, q, _)| searches(q)) {
        match source {
            ChoiceSource::List(list) => {
                searched.entry(list).or_insert(node.row);
            }
            ChoiceSource::File(_) => {
                let place = Place::sheet(&table.sheet.name).row(node.row);
                problems.add(Diagnostic::new(Code::SearchFile, place).with("name", &question.name));
            }
            _ => {}
        }
    }
    for (_, question, source) in selects.filter(|(_, q, _)| !searches(q)) {
        if let ChoiceSource::List(list) = source
            && let Some(row) = searched.get(list.as_str())
        {
            let diagnostic = Diagnostic::new(Code::SearchShared, Place::sheet(&table.sheet.name).row(*row));
            problems.add(diagnostic.with("list", list).with("name", &question.name));
        }
    }
}

/// The settings that say what lists of records show must name questions.
fn check_lists_of_records(survey: &Survey<'_>, problems: &mut Problems) {
    let list = &survey.settings.list;
    let single = [
        ("doorstep::list_title", &list.title),
        ("doorstep::list_label", &list.label),
        ("doorstep::list_status", &list.status),
        ("doorstep::list_day", &list.day),
        ("doorstep::list_persons", &list.persons),
        ("doorstep::list_joined", &list.joined),
        ("doorstep::list_absent", &list.absent),
        ("doorstep::list_ended", &list.ended),
    ];
    let several = list.search.iter().map(|name| ("doorstep::list_search", name));
    for (setting, value) in single.into_iter().chain(several) {
        let leaf = value.rsplit('/').next().unwrap_or_default();
        if leaf.is_empty() || survey.names.contains_key(leaf) {
            continue;
        }
        let diagnostic = Diagnostic::new(Code::UnknownListColumn, Place::sheet("settings").row(2));
        let nearest = nearest(leaf, survey.names.keys().map(String::as_str));
        problems.add(diagnostic.with("name", setting).with("value", value).nearest(nearest));
    }
}
