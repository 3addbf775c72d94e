//! `doorstep form`: tools for authors of forms.

pub mod check;
pub mod eval;
pub mod publish;
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
    /// Publish a workbook as its form's next version; phones get it with their next sync.
    Publish(publish::PublishArgs),
    /// List the versions of all forms.
    List(publish::ListArgs),
    /// Retire a version: it isn't offered for new records any more.
    Retire(publish::RetireArgs),
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
        FormCommand::Publish(args) => publish::publish(args),
        FormCommand::List(args) => publish::list(args),
        FormCommand::Retire(args) => publish::retire(args),
        FormCommand::Eval(args) => eval::eval(args),
        FormCommand::Replay(args) => replay::replay(args),
    }
}
