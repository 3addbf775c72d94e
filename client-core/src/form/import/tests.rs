//! Claims about the importer. Workbooks are written by `writer`: XLSForm tables as `.xlsx` parts, and spoilt ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

mod cases;
mod diagnostics;
mod formats;
mod hostile;
mod mapping;
mod pack;
mod pitfalls;
mod writer;

use super::{Code, Import, Severity, import};
use writer::{Sheet, Workbook};

/// Imports tables: `| survey | | type | name |` starts a sheet, `| | text | q |` is a row of it.
fn tables(text: &str) -> Import {
    import(&writer::from_tables(text).to_xlsx(), "form")
}

fn codes(found: &Import, severity: Severity) -> Vec<&'static str> {
    found.problems.iter().filter(|p| p.severity() == severity).map(super::Diagnostic::code).collect()
}

fn errors(found: &Import) -> Vec<&'static str> {
    codes(found, Severity::Error)
}

fn warnings(found: &Import) -> Vec<&'static str> {
    codes(found, Severity::Warning)
}

/// The tree as `path type`.
fn tree(found: &Import) -> Vec<String> {
    found.tree.iter().map(|n| format!("{} {}", n.path, n.type_name)).collect()
}

/// The form of an import that must be accepted; it also passes the definition's own checks.
fn accepted(found: &Import) -> &crate::form::FormDef {
    let def = found.def.as_ref().unwrap_or_else(|| panic!("refused: {:?}", errors(found)));
    assert_eq!(def.validate(), Vec::new());
    def
}
