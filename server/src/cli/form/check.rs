//! `doorstep form check`: reads a workbook, says everything that is wrong with it, and shows the form's tree.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use doorstep_core::form::import::{Import, Severity, TreeNode, import};

use crate::cli::Outcome;
use crate::say;

/// Options of `form check`.
#[derive(Args)]
pub struct CheckArgs {
    /// The workbook: .xlsx, .xls, .ods, or .csv in XLSForm's layout.
    file: PathBuf,
    /// Print one JSON object: publishable, problems, tree.
    #[arg(long)]
    json: bool,
    /// The language of the sentences: zh or en.
    #[arg(long, default_value = "en")]
    language: String,
}

/// Checks a workbook; fails when it can't be published.
pub fn check(args: &CheckArgs) -> Outcome {
    let bytes = std::fs::read(&args.file)?;
    let stem = args.file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let found = import(&bytes, &stem);
    if args.json {
        say!("{}", found.to_json());
    } else {
        print(&found, &args.language);
    }
    Ok(if found.publishable() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) fn print(found: &Import, language: &str) {
    print_problems(found, language);
    for node in &found.tree {
        say!("{}", line(node));
    }
}

/// Everything there is to say, a line each with its hint below.
pub(super) fn print_problems(found: &Import, language: &str) {
    for problem in &found.problems {
        let kind = match (problem.severity(), language.starts_with("zh")) {
            (Severity::Error, false) => "error",
            (Severity::Warning, false) => "warning",
            (Severity::Error, true) => "错误",
            (Severity::Warning, true) => "提醒",
        };
        let place = problem.place.to_string();
        let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
        say!("{place}{kind}: {} [{}]", problem.message(language), problem.code());
        if let Some(hint) = problem.hint(language) {
            say!("    {hint}");
        }
    }
}

fn line(node: &TreeNode) -> String {
    let depth = node.path.matches('/').count().saturating_sub(2);
    format!("{}{}  {}", "  ".repeat(depth), node.name, node.type_name)
}
