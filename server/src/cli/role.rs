//! Roles: what people may read and write.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use doorstep_core::rights::{Action, Role};

use super::serve::open_service;
use super::words::Words;
use super::{DataOptions, Outcome};
use crate::say;
use crate::service::audit::Actor;

/// Options of `role`.
#[derive(Args)]
pub struct RoleArgs {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    words: Words,
    #[command(subcommand)]
    command: RoleCommand,
}

#[derive(Subcommand)]
enum RoleCommand {
    /// List the roles.
    List,
    /// Print what each role may do, as a table (as docs/roles.md has it).
    Table,
    /// Print the roles as JSON, as `set` takes them.
    Show,
    /// Replace the township's own roles by those of a file; they stand before those of the pack.
    Set {
        /// A JSON list of roles.
        file: PathBuf,
    },
}

/// Lists, shows and changes roles.
pub fn role(args: &RoleArgs) -> Outcome {
    let service = open_service(&args.data)?;
    let roles = service.roles()?;
    match &args.command {
        RoleCommand::List => roles.iter().for_each(|role| say!("{}  {}", role.name, label(role))),
        RoleCommand::Table => say!("{}", table(roles.iter())),
        RoleCommand::Show => say!("{}", roles.to_json()),
        RoleCommand::Set { file } => {
            service.set_roles(Actor::CommandLine, &std::fs::read_to_string(file)?)?;
            args.words.say("role.set", &[]);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn label(role: &Role) -> String {
    let text = |language| role.label.in_language(language).unwrap_or_default();
    format!("{}  {}", text("zh"), text("en"))
}

/// What roles may do, as a table in Markdown.
pub fn table<'a>(roles: impl Iterator<Item = &'a Role>) -> String {
    let mut text =
        String::from("| role | records | documents | may | in the states | questions |\n|---|---|---|---|---|---|\n");
    for role in roles {
        for right in &role.rights {
            let classes: Vec<&str> = right.classes.iter().map(|class| class.as_str()).collect();
            let actions: Vec<String> = right.actions.iter().map(|action| verb(*action, &right.to)).collect();
            let states = if right.states.is_empty() { "any".to_owned() } else { right.states.join(", ") };
            let types: Vec<&str> = right.types.iter().map(|t| if t == "*" { "all others" } else { t }).collect();
            let questions = match (right.only.is_empty(), right.except.is_empty()) {
                (true, true) => "all".to_owned(),
                (false, _) => format!("only {}", right.only.join(", ")),
                (true, false) => format!("all but {}", right.except.join(", ")),
            };
            text.push_str(&format!(
                "| {} | {} | {} | {} | {states} | {questions} |\n",
                role.name,
                types.join(", "),
                classes.join(", "),
                actions.join(", ")
            ));
        }
    }
    text
}

fn verb(action: Action, to: &[String]) -> String {
    match action {
        Action::SetState => format!("put into {}", to.join(" or ")),
        action => action.as_str().to_owned(),
    }
}
