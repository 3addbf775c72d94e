//! From a workbook's bytes to a form: `.xlsx`, `.xls`, `.ods` and `.csv` in the XLSForm dialect. No I/O.
//!
//! 1. [`workbook`](self) reads the sheets under limits (`limits.rs`), whatever the file's name says.
//! 2. `table` understands headers, `settings`, `choices`, `entities` and `survey` read their sheets row by row.
//! 3. `logic` checks references and expressions and finds circles.
//! 4. What is left becomes a [`FormDef`]; everything that was wrong comes back at once, as [`Diagnostic`]s with their place.
//!
//! What XLSForm allows and Doorstep doesn't run is kept in `extra` and gives a warning. To add a diagnostic: a line in
//! `code.rs` and a sentence in `messages/import.json`. To add a type: a line in `types.rs`. The dialect and the reasons for
//! differences from pyxform stand in docs/forms.md.

mod blank;
mod cell;
mod choices;
mod code;
mod csv_file;
mod decimal;
mod default_value;
mod definition;
mod diagnostic;
mod entities;
mod extra;
pub mod grid;
mod limits;
mod logic;
mod nearest;
mod node;
mod ods;
mod ole;
mod package;
mod parameters;
mod question;
mod reference;
mod report;
mod rules;
mod settings;
mod survey;
mod table;
mod tree;
mod types;
mod workbook;
mod xls;
mod xlsx;

#[cfg(test)]
mod tests;

pub use code::Code;
pub use diagnostic::{Diagnostic, Place, Severity};
pub use tree::TreeNode;

use super::definition::FormDef;
use diagnostic::Problems;
use survey::Survey;
use table::Table;
use workbook::{SheetKind, Workbook};

/// What an import gives.
#[derive(Debug, Clone)]
pub struct Import {
    /// The form; `None` when it is refused.
    pub def: Option<FormDef>,
    /// Everything there is to say, errors first.
    pub problems: Vec<Diagnostic>,
    /// The form's nodes, as far as they were understood, parents before children.
    pub tree: Vec<TreeNode>,
    /// Files that must be attached: choices from files, external instances, `pulldata`.
    pub files: Vec<String>,
}

impl Import {
    /// True when the form can be published.
    pub fn publishable(&self) -> bool {
        self.def.is_some()
    }
}

/// Reads a workbook of any bytes. `stem` is the file's name without ending: the form's id where the settings give none.
pub fn import(bytes: &[u8], stem: &str) -> Import {
    let mut problems = Problems::default();
    let Some(mut workbook) = workbook::read(bytes, &mut problems) else { return refused(problems) };
    let mut settings = settings::read(&workbook, &mut problems);
    if !settings.keep_spaces {
        collapse_spaces(&mut workbook);
    }
    rules::check_sheets(&workbook, &mut problems);
    let mut lists = choices::read(&workbook, SheetKind::Choices, &settings, &mut problems);
    let mut external = choices::read(&workbook, SheetKind::ExternalChoices, &settings, &mut problems);
    let mut entities = entities::read(&workbook, &mut problems);
    let Some(sheet) = workbook.sheet(SheetKind::Survey).filter(|s| s.headers.iter().any(Option::is_some)) else {
        return refused(problems);
    };
    let table = Table::new(sheet, SheetKind::Survey, &mut problems);
    if !rules::has_type_column(&table, &mut problems) {
        return refused(problems);
    }
    let languages = rules::languages(&workbook, &table, &settings, &mut problems);
    let mut survey = Survey::new(&mut settings, &mut lists, &mut external, &mut entities, &mut problems);
    for line in table.lines().take(limits::SURVEY_ROWS) {
        survey.row(line);
    }
    survey.close(&sheet.name);
    rules::check_form(&mut survey, &workbook, &table);
    logic::check(&mut survey);
    let tree = tree::tree(&survey.nodes);
    let files: Vec<String> = survey.files.keys().cloned().collect();
    let def = definition::assemble(&mut survey, stem, languages);
    let refused = problems.refused();
    Import { def: (!refused).then_some(def), problems: problems.into_sorted(), tree, files }
}

fn refused(problems: Problems) -> Import {
    Import { def: None, problems: problems.into_sorted(), tree: Vec::new(), files: Vec::new() }
}

/// On the survey sheet a run of spaces counts as one, unless `clean_text_values` is `no`.
fn collapse_spaces(workbook: &mut Workbook) {
    let Some(sheet) = workbook.sheets.get_mut(&SheetKind::Survey) else { return };
    for cell in sheet.rows.iter_mut().flat_map(|r| &mut r.cells).filter(|c| c.text.contains("  ")) {
        cell.text = workbook::collapse_spaces(&cell.text).into();
    }
}
