//! `doorstep form`: tools for authors of forms.

pub mod check;
pub mod eval;
pub mod replay;

use clap::{Args, Subcommand};

use super::Outcome;

/// Options of `form`.
#[derive(Args)]
pub struct FormArgs {
    #[command(subcommand)]
    command: FormCommand,
}

#[derive(Subcommand)]
enum FormCommand {
    /// Read a workbook, say what is wrong with it, show the form's tree; exit status 1 when it can't be published.
    Check(check::CheckArgs),
    /// Compute expressions: reads JSON Lines {"id", "expression", "context"}, answers {"id", "s", "n", "b"} or {"id", "err"}.
    Eval(eval::EvalArgs),
    /// Fill forms: reads JSON Lines {"form", "seed", "steps"}, answers {"form", "seed", "results", "choices", "relevant", "values"}.
    Replay(replay::ReplayArgs),
}

/// Runs one of the tools.
///
/// # Errors
/// As the tool does.
pub fn form(args: &FormArgs) -> Outcome {
    match &args.command {
        FormCommand::Check(args) => check::check(args),
        FormCommand::Eval(args) => eval::eval(args),
        FormCommand::Replay(args) => replay::replay(args),
    }
}
