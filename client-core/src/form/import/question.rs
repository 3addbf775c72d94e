//! From a row to a question, a group or a repeat.

use std::collections::BTreeMap;

use super::cell::Kind;
use super::code::Code;
use super::default_value::is_dynamic;
use super::diagnostic::Diagnostic;
use super::extra::extra;
use super::nearest::nearest;
use super::node::{Node, Role, Shape, Use};
use super::parameters::{self, Asked, Parameters};
use super::reference::{is_name, only_reference, references};
use super::settings::yes_no;
use super::survey::{Survey, Triggered};
use super::table::Line;
use super::types::{Block, Control, Type};
use crate::form::definition::{ChoiceSource, Extra, Group, Question, QuestionKind, Repeat, Sensitivity};
use crate::form::text::LocalText;

/// The media that a label may come with.
pub(super) const MEDIA: [&str; 4] = ["image", "big-image", "audio", "video"];
/// Files that choices may come from.
const FILE_ENDINGS: [&str; 3] = [".csv", ".xml", ".geojson"];

/// A select's type cell, taken apart.
pub(super) struct Select {
    pub(super) control: Control,
    pub(super) list: String,
    pub(super) command: &'static str,
    pub(super) other: bool,
}

/// A text question with only a name.
pub(super) fn blank(name: &str) -> Question {
    Question {
        name: name.to_owned(),
        key: None,
        kind: QuestionKind::Text,
        choices: None,
        labels: LocalText::default(),
        hints: LocalText::default(),
        guidance: LocalText::default(),
        media: BTreeMap::new(),
        required: None,
        required_messages: LocalText::default(),
        relevant: None,
        constraint: None,
        constraint_messages: LocalText::default(),
        calculation: None,
        trigger: None,
        default: None,
        dynamic_default: false,
        choice_filter: None,
        appearance: None,
        read_only: None,
        parameters: BTreeMap::new(),
        class: Sensitivity::Core,
        declared_public: false,
        extra: Extra::new(),
    }
}

/// A name made of a bad one, for a hint.
pub(super) fn suggested_name(name: &str) -> Option<String> {
    let mut out: String = name.trim().chars().map(|c| if is_name(&format!("_{c}")) { c } else { '_' }).collect();
    if !is_name(&out) {
        out.insert(0, '_');
    }
    is_name(&out).then_some(out)
}

/// A question without choices.
pub(super) fn plain(survey: &mut Survey<'_>, line: Line<'_>, name: String, of: Type) {
    let mut question = common(survey, line, &name, of.name);
    question.kind = of.kind();
    question.parameters = parameters(survey, line);
    let asked = asked(line, &question.parameters);
    let mut bind = of.bind.to_owned();
    if of.kind == "range" {
        let ticks = question.parameters.get("tick_labelset");
        let choices = ticks.and_then(|list| survey.lists.get(list)).map(|l| l.list.choices.as_slice());
        if asked.check_range(choices, survey.problems) {
            "decimal".clone_into(&mut bind);
        }
        for (key, default) in [("start", "1"), ("end", "10"), ("step", "1")] {
            question.parameters.entry(key.to_owned()).or_insert_with(|| default.to_owned());
        }
    } else {
        asked.check(of.kind, survey.problems);
    }
    if let Some((constraint, hint)) = of.built_in {
        question.constraint.get_or_insert_with(|| constraint.to_owned());
        if question.hints.is_empty() && !hint.is_empty() {
            question.hints.0.insert(survey.settings.unnamed().to_owned(), hint.to_owned());
        }
    }
    if of.kind == "calculate" && question.calculation.is_none() && !question.dynamic_default {
        survey.warn(Code::NoCalculation, line, &["bind", "calculate"]);
    }
    if of.kind == "background-geopoint" {
        if question.trigger.is_none() {
            survey.warn(Code::NoTrigger, line, &["trigger"]);
        }
        if question.calculation.is_some() {
            survey.warn(Code::CalculationNotAllowed, line, &["bind", "calculate"]);
        }
    }
    if let Some(geometry) = question.parameters.get("reference-geometry") {
        survey.geometries.push((geometry.clone(), line.place(&["parameters"])));
    }
    if !of.runs {
        let diagnostic = Diagnostic::new(Code::TypeNotRun, line.place(&["type"]));
        survey.problems.add(diagnostic.with("value", of.name));
    }
    finish(survey, line, question, bind, of.control);
}

/// A question with choices.
pub(super) fn select(survey: &mut Survey<'_>, line: Line<'_>, name: String, select: &Select) {
    let mut question = common(survey, line, &name, select.command);
    question.kind = match select.control {
        Control::SelectMultiple => QuestionKind::SelectMultiple,
        Control::Rank => QuestionKind::Rank,
        _ => QuestionKind::SelectOne,
    };
    let ending = FILE_ENDINGS.iter().find(|e| select.list.ends_with(**e) && select.list.len() > e.len());
    question.parameters = parameters(survey, line);
    let from_file = matches!(select.command, "select_one_from_file" | "select_multiple_from_file");
    asked(line, &question.parameters).check_select(from_file, survey.problems);
    if let Some(seed) = question.parameters.get("seed").filter(|s| s.contains("${")) {
        survey.uses.push(Use {
            node: survey.nodes.0.len(),
            role: Role::Seed,
            text: seed.clone(),
            place: line.place(&["parameters"]),
            list: None,
        });
    }
    question.choices = source(survey, line, select, ending.copied());
    if ending.is_some_and(|e| *e == ".geojson") {
        // as ODK reads features
        for (parameter, column) in [("value", "id"), ("label", "title")] {
            question.parameters.entry(parameter.to_owned()).or_insert_with(|| column.to_owned());
        }
    }
    if select.other {
        or_other(survey, line, select);
    }
    if question.kind == QuestionKind::SelectMultiple && ending.is_none() {
        check_multiple(survey, line, &select.list);
    }
    let bind = if select.control == Control::Rank { "odk:rank" } else { "string" };
    if survey.joins_table(line, &select.list) == Some(true) {
        let mut header = blank(&format!("reserved_name_for_field_list_labels_{}", line.row.number));
        header.kind = question.kind.clone();
        header.choices = question.choices.clone();
        header.appearance = Some("label".to_owned());
        survey.add(line.row.number, header, bind, select.control);
        if ending.is_some() {
            survey.warn(Code::FileInTable, line, &["type"]);
        }
    }
    if survey.in_table() {
        question.appearance = Some("list-nolabel".to_owned());
    }
    finish(survey, line, question, bind.to_owned(), select.control);
    if select.other {
        let mut other = blank(&format!("{name}_other"));
        let unnamed = survey.settings.unnamed().to_owned();
        let label = if super::choices::is_chinese(&unnamed) { "请说明其他。" } else { "Specify other." };
        other.labels.0.insert(unnamed, label.to_owned());
        other.relevant = Some(format!("selected(../{name}, 'other')"));
        let node = survey.add(line.row.number, other, "string", Control::Input);
        survey.uses.push(Use {
            node,
            role: Role::Relevant,
            text: format!("selected(../{name}, 'other')"),
            place: line.place(&["type"]),
            list: None,
        });
    }
}

/// Where the choices come from; reports a list or file that isn't there.
fn source(
    survey: &mut Survey<'_>,
    line: Line<'_>,
    select: &Select,
    ending: Option<&'static str>,
) -> Option<ChoiceSource> {
    let list = &select.list;
    let place = line.place(&["type"]);
    if select.command == "select_one_external" {
        if line.get(&["choice_filter"]).is_none() {
            survey.problems.add(Diagnostic::new(Code::ExternalWithoutFilter, place.clone()).with("list", list));
        }
        if survey.external.get(list).is_none() {
            let code = if survey.external.any { Code::UnknownExternalList } else { Code::NoExternalSheet };
            let nearest = nearest(list, survey.external.names());
            survey.problems.add(Diagnostic::new(code, place).with("list", list).nearest(nearest));
        }
        return Some(ChoiceSource::External(list.clone()));
    }
    let stem = ending.and_then(|e| list.strip_suffix(e));
    survey.instances.insert(stem.unwrap_or(list).to_owned());
    let wants_file = select.command.contains("from_file") || select.command.contains("from file");
    if wants_file && (ending.is_none() || stem.is_some_and(|s| s.contains('.'))) {
        let diagnostic = Diagnostic::new(Code::FileEnding, place).with("value", list);
        survey.problems.add(diagnostic.with("allowed", FILE_ENDINGS.join(", ")));
        return Some(ChoiceSource::File(list.clone()));
    }
    if ending.is_some() {
        survey.files.entry(list.clone()).or_insert(line.row.number);
        return Some(ChoiceSource::File(list.clone()));
    }
    if let Some(Ok(reference)) = references(list).next() {
        if select.control == Control::SelectMultiple || only_reference(list).is_none() {
            let diagnostic = Diagnostic::new(Code::ChoicesFromAnswers, place.clone());
            survey.problems.add(diagnostic.with("value", list));
        }
        survey.choice_questions.push((reference.name.to_owned(), survey.nodes.0.len(), place));
        return Some(ChoiceSource::Question(reference.name.to_owned()));
    }
    match survey.lists.lists.get_mut(list) {
        Some(found) => found.used = true,
        None => {
            let only_external = survey.external.get(list).is_some();
            let code = match (survey.lists.any, only_external) {
                (_, true) => Code::ListOnlyExternal,
                (true, false) => Code::UnknownList,
                (false, false) => Code::NoChoicesSheet,
            };
            let nearest = nearest(list, survey.lists.names());
            survey.problems.add(Diagnostic::new(code, place).with("list", list).nearest(nearest));
        }
    }
    Some(ChoiceSource::List(list.clone()))
}

fn or_other(survey: &mut Survey<'_>, line: Line<'_>, select: &Select) {
    if line.get(&["choice_filter"]).is_some() {
        survey.warn(Code::OtherWithFilter, line, &["choice_filter"]);
    }
    if survey.lists.get(&select.list).is_none() {
        let diagnostic = Diagnostic::new(Code::OtherWithoutList, line.place(&["type"]));
        survey.problems.add(diagnostic.with("list", &select.list));
    }
    let unnamed = survey.settings.unnamed().to_owned();
    survey.lists.add_other(&select.list, &unnamed);
}

/// A multiple choice's answers are names with spaces between, and ticks by name.
fn check_multiple(survey: &mut Survey<'_>, line: Line<'_>, list: &str) {
    let Some(found) = survey.lists.get(list) else { return };
    let bad = found.list.choices.iter().find(|c| c.name.contains([' ', '/']));
    if let Some(choice) = bad {
        let code = if choice.name.contains(' ') { Code::ChoiceNameWithSpace } else { Code::ChoiceNameWithSlash };
        let diagnostic = Diagnostic::new(code, line.place(&["type"])).with("name", &choice.name);
        let suggestion = choice.name.replace([' ', '/'], "_");
        survey.problems.add(diagnostic.with("list", list).nearest(Some(&suggestion)));
    }
}

/// The `parameters` cell; what can't be read is reported and left out.
pub(super) fn parameters(survey: &mut Survey<'_>, line: Line<'_>) -> Parameters {
    let Some(text) = line.get(&["parameters"]) else { return Parameters::new() };
    parameters::parse(text).unwrap_or_else(|| {
        survey.problems.add(Diagnostic::new(Code::ParametersUnread, line.place(&["parameters"])).with("value", text));
        Parameters::new()
    })
}

pub(super) fn asked<'p>(line: Line<'p>, parameters: &'p Parameters) -> Asked<'p> {
    Asked { parameters, appearance: line.get(&["control", "appearance"]), place: line.place(&["parameters"]) }
}

/// `yes` as `true()`, `no` as `false()`, any other text as it is.
fn condition(text: &str) -> String {
    match yes_no(text) {
        Some(true) => "true()".to_owned(),
        Some(false) => "false()".to_owned(),
        None => text.to_owned(),
    }
}

/// What all kinds of questions have; expressions are noted for the check of them all.
fn common(survey: &mut Survey<'_>, line: Line<'_>, name: &str, type_name: &str) -> Question {
    survey.questions.insert(name.to_owned());
    let unnamed = survey.settings.unnamed().to_owned();
    let mut question = blank(name);
    question.labels = line.texts(&["label"], &unnamed);
    question.hints = line.texts(&["hint"], &unnamed);
    question.guidance = line.texts(&["guidance_hint"], &unnamed);
    for medium in MEDIA {
        let texts = line.texts(&["media", medium], &unnamed);
        if !texts.is_empty() {
            question.media.insert(medium.to_owned(), texts);
        }
    }
    question.required_messages = line.texts(&["bind", "jr:requiredMsg"], &unnamed);
    question.constraint_messages = line.texts(&["bind", "jr:constraintMsg"], &unnamed);
    let expression = |path: &[&str]| line.get(path).map(condition);
    question.relevant = expression(&["bind", "relevant"]);
    question.constraint = expression(&["bind", "constraint"]);
    question.calculation = expression(&["bind", "calculate"]);
    question.required = expression(&["bind", "required"]).filter(|e| e != "false()");
    question.read_only = expression(&["bind", "readonly"]).filter(|e| e != "false()");
    question.choice_filter = line.get(&["choice_filter"]).map(str::to_owned);
    question.appearance = line.get(&["control", "appearance"]).map(str::to_owned);
    if let Some(cell) = line.cell(&["default"]) {
        question.dynamic_default = is_dynamic(&cell.text, type_name);
        question.default = Some(match cell.kind {
            Kind::Moment => moment_for(type_name, &cell.text),
            _ => cell.text.to_string(),
        });
        if question.dynamic_default && looks_like_text(&cell.text) {
            let diagnostic = Diagnostic::new(Code::DefaultIsExpression, line.place(&["default"]));
            survey.problems.add(diagnostic.with("value", &*cell.text));
        }
    }
    question.trigger = trigger(survey, line);
    question.class = class(survey, line);
    question.declared_public = line.get(&["doorstep", "public"]).and_then(yes_no) == Some(true);
    question.extra = extra(line);
    question
}

/// A default such as `5 - 3` or `a - b`: an expression by the rules, but maybe not meant as one.
fn looks_like_text(text: &str) -> bool {
    !text.contains(['(', '$']) && text.contains(" - ")
}

/// A spreadsheet's date or time as the type writes it.
fn moment_for(type_name: &str, text: &str) -> String {
    let (date, time) = text.split_once(' ').unwrap_or((text, text));
    match type_name {
        "date" | "today" => date.to_owned(),
        "time" => time.to_owned(),
        "dateTime" if text.contains(' ') => format!("{date}T{time}"),
        _ if time == "00:00:00" => date.to_owned(),
        _ => text.to_owned(),
    }
}

/// The `trigger` column: one reference, or several with commas between.
fn trigger(survey: &mut Survey<'_>, line: Line<'_>) -> Option<String> {
    let text = line.get(&["trigger"])?;
    let place = line.place(&["trigger"]);
    let mut targets: Vec<String> = Vec::new();
    for part in text.split(',') {
        let mut found = references(part);
        match (found.next(), found.next()) {
            (Some(Ok(reference)), None) => targets.push(reference.name.to_owned()),
            (None, _) if targets.is_empty() && !text.contains("${") => {
                let bare = part.trim().trim_start_matches('$').trim_matches(['{', '}', ' ']);
                let suggestion = format!("${{{bare}}}");
                let diagnostic = Diagnostic::new(Code::BadReference, place).with("value", text);
                survey.problems.add(diagnostic.nearest(is_name(bare).then_some(&suggestion)));
                return None;
            }
            (None, _) => {}
            (Some(Ok(_)), Some(_)) => {
                survey.problems.add(Diagnostic::new(Code::ReferencesWithoutComma, place).with("value", text));
                return None;
            }
            (Some(Err(bad)), _) => {
                survey.problems.add(Diagnostic::new(Code::BadReference, place).with("value", bad.inside));
                return None;
            }
        }
    }
    for target in &targets {
        survey.triggers.push(Triggered { target: target.clone(), place: place.clone() });
    }
    (!targets.is_empty()).then(|| targets.join(","))
}

fn class(survey: &mut Survey<'_>, line: Line<'_>) -> Sensitivity {
    let Some(text) = line.get(&["doorstep", "class"]) else { return Sensitivity::Core };
    match text {
        "core" => Sensitivity::Core,
        "sensitive" => Sensitivity::Sensitive,
        "office" => Sensitivity::Office,
        other => {
            let diagnostic = Diagnostic::new(Code::UnknownClass, line.place(&["doorstep", "class"]));
            let nearest = nearest(other, ["core", "sensitive", "office"]);
            survey.problems.add(diagnostic.with("value", other).nearest(nearest));
            Sensitivity::Office
        }
    }
}

/// Checks that need the whole question, then adds it.
fn finish(survey: &mut Survey<'_>, line: Line<'_>, question: Question, bind: String, control: Control) {
    let has_label = line.any(&["label"]) || question.appearance.as_deref() == Some("label");
    let has_hint = !question.hints.is_empty();
    let computed = question.calculation.is_some() || question.trigger.is_some();
    let hidden = question.kind == QuestionKind::Calculate || (computed && !has_label && !has_hint);
    if control.is_shown() && !hidden {
        if !has_label && !has_hint && question.media.is_empty() {
            let diagnostic = Diagnostic::new(Code::NothingToRead, line.place(&["label"]));
            survey.problems.add(diagnostic.with("name", &question.name));
        }
        if question.media.contains_key("big-image") && !question.media.contains_key("image") {
            survey.warn(Code::BigImageAlone, line, &["media", "big-image"]);
        }
    }
    let given = line.get(&["bind", "type"]);
    let is_select = matches!(control, Control::SelectOne | Control::SelectMultiple | Control::Rank);
    if let Some(given) = given
        && is_select
        && !matches!(given, "string" | "odk:rank")
    {
        survey.problems.add(Diagnostic::new(Code::SelectBindType, line.place(&["bind", "type"])).with("value", given));
    }
    let bind = given.map_or(bind, str::to_owned);
    survey.note_save_to(line, &question.name);
    let node = survey.nodes.0.len();
    let expressions = [
        (Role::Relevant, &question.relevant, &["bind", "relevant"][..]),
        (Role::Constraint, &question.constraint, &["bind", "constraint"]),
        (Role::Required, &question.required, &["bind", "required"]),
        (Role::ReadOnly, &question.read_only, &["bind", "readonly"]),
        (Role::ChoiceFilter, &question.choice_filter, &["choice_filter"]),
    ];
    let list = match &question.choices {
        Some(ChoiceSource::List(list)) => Some(list.clone()),
        Some(ChoiceSource::File(file)) => Some(file.clone()),
        Some(ChoiceSource::External(list)) => Some(format!("external_choices/{list}")),
        _ => None,
    };
    for (role, text, path) in expressions {
        if let Some(text) = text {
            let list = list.clone().filter(|_| role == Role::ChoiceFilter);
            survey.uses.push(Use { node, role, text: text.clone(), place: line.place(path), list });
        }
    }
    if let Some(text) = &question.calculation {
        let role = if question.trigger.is_some() { Role::Triggered } else { Role::Calculation };
        let place = line.place(&["bind", "calculate"]);
        survey.uses.push(Use { node, role, text: text.clone(), place, list: None });
    }
    if let Some(text) = question.default.as_ref().filter(|_| question.dynamic_default) {
        let place = line.place(&["default"]);
        survey.uses.push(Use { node, role: Role::Default, text: text.clone(), place, list: None });
    }
    let parent = survey.parent();
    let name = question.name.clone();
    let shape = Shape::Question { question: Box::new(question), bind, control, hidden };
    survey.nodes.push(Node { name, parent, children: Vec::new(), row: line.row.number, shape });
}

/// A group or a repeat; gives its node.
pub(super) fn block(survey: &mut Survey<'_>, line: Line<'_>, name: &str, block: Block, is_table: bool) -> usize {
    let unnamed = survey.settings.unnamed().to_owned();
    let labels = if is_table { LocalText::default() } else { line.texts(&["label"], &unnamed) };
    let relevant = line.get(&["bind", "relevant"]).map(condition);
    let appearance = line.get(&["control", "appearance"]).map(|text| match is_table {
        true => table_appearance(text),
        false => text.to_owned(),
    });
    let class = class(survey, line);
    let mut extra = extra(line);
    block_texts(line, &unnamed, is_table, &mut extra);
    let count = count(survey, line, name);
    survey.note_save_to_block(line);
    if block == Block::Repeat && labels.is_empty() {
        let diagnostic = Diagnostic::new(Code::RepeatWithoutLabel, line.place(&["label"]));
        survey.problems.add(diagnostic.with("name", name));
    }
    let node = survey.nodes.0.len();
    if let Some(text) = &relevant {
        let place = line.place(&["bind", "relevant"]);
        survey.uses.push(Use { node, role: Role::Relevant, text: text.clone(), place, list: None });
    }
    let name = name.to_owned();
    let shape = match block {
        Block::Repeat => Shape::Repeat(Box::new(Repeat {
            name: name.clone(),
            labels,
            relevant,
            count,
            appearance,
            class,
            items: Vec::new(),
            extra,
        })),
        _ => Shape::Group(Box::new(Group {
            name: name.clone(),
            labels,
            relevant,
            appearance,
            class,
            items: Vec::new(),
            extra,
        })),
    };
    let parent = survey.parent();
    survey.nodes.push(Node { name, parent, children: Vec::new(), row: line.row.number, shape })
}

/// `table-list` stands for `field-list`; other words stay.
fn table_appearance(text: &str) -> String {
    let rest = text.split_whitespace().filter(|word| *word != "table-list");
    std::iter::once("field-list").chain(rest).collect::<Vec<_>>().join(" ")
}

/// Hints and media of a group have no field.
fn block_texts(line: Line<'_>, unnamed: &str, is_table: bool, extra: &mut Extra) {
    let hints = line.texts(&["hint"], unnamed);
    if !hints.is_empty() && !is_table {
        extra.insert("hints".to_owned(), serde_json::json!(hints));
    }
    let media: BTreeMap<&str, LocalText> = MEDIA
        .iter()
        .map(|medium| (*medium, line.texts(&["media", medium], unnamed)))
        .filter(|(_, texts)| !texts.is_empty())
        .collect();
    if !media.is_empty() {
        extra.insert("media".to_owned(), serde_json::json!(media));
    }
}

/// How many instances a repeat has; what isn't a plain reference is computed by a node of its own, as in every ODK form.
fn count(survey: &mut Survey<'_>, line: Line<'_>, name: &str) -> Option<String> {
    let text = line.get(&["control", "jr:count"])?;
    let place = line.place(&["control", "jr:count"]);
    if only_reference(text).is_some() {
        let node = survey.nodes.0.len();
        survey.uses.push(Use { node, role: Role::Count, text: text.to_owned(), place, list: None });
        return Some(text.to_owned());
    }
    let mut counter = blank(&format!("{name}_count"));
    counter.kind = QuestionKind::Calculate;
    counter.calculation = Some(text.to_owned());
    counter.read_only = Some("true()".to_owned());
    let node = survey.add(line.row.number, counter, "string", Control::None);
    survey.uses.push(Use { node, role: Role::Calculation, text: text.to_owned(), place, list: None });
    Some(format!("${{{name}_count}}"))
}

/// The label and hint of a table-list group stand on a note inside it.
pub(super) fn table_note(survey: &mut Survey<'_>, line: Line<'_>) {
    if !line.any(&["label"]) && !line.any(&["hint"]) {
        return;
    }
    let unnamed = survey.settings.unnamed().to_owned();
    let mut note = blank(&format!("generated_table_list_label_{}", line.row.number));
    note.kind = QuestionKind::Note;
    note.read_only = Some("true()".to_owned());
    note.labels = line.texts(&["label"], &unnamed);
    note.hints = line.texts(&["hint"], &unnamed);
    survey.add(line.row.number, note, "string", Control::Input);
}
