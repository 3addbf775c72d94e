//! `doorstep form`: tools for authors of forms.

pub mod eval;

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
    /// Compute expressions: reads JSON Lines {"id", "expression", "context"}, answers {"id", "s", "n", "b"} or {"id", "err"}.
    Eval(eval::EvalArgs),
}

/// Runs one of the tools.
///
/// # Errors
/// As the tool does.
pub fn form(args: &FormArgs) -> Outcome {
    match &args.command {
        FormCommand::Eval(args) => eval::eval(args),
    }
}
