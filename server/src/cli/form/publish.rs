//! `doorstep form publish`, `list` and `retire`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use doorstep_core::form::import::{Code, import};
use doorstep_core::form::{Catalog, Pack};

use super::check;
use crate::cli::serve::open_service;
use crate::cli::{DataOptions, Outcome};
use crate::say;
use crate::service::audit::Actor;
use crate::service::forms::{AttachedFiles, FormError};

/// Options of `form publish`.
#[derive(Args)]
pub struct PublishArgs {
    #[command(flatten)]
    data: DataOptions,
    /// The workbook: .xlsx, .xls, .ods, or .csv in XLSForm's layout.
    file: PathBuf,
    /// A list that the form needs (.csv, .xml, .geojson), where it doesn't stand in the workbook's folder.
    #[arg(long)]
    attach: Vec<PathBuf>,
    /// The language of the sentences: zh or en.
    #[arg(long, default_value = "en")]
    language: String,
}

/// Options of `form list`.
#[derive(Args)]
pub struct ListArgs {
    #[command(flatten)]
    data: DataOptions,
}

/// Options of `form retire`.
#[derive(Args)]
pub struct RetireArgs {
    #[command(flatten)]
    data: DataOptions,
    /// The form's name.
    name: String,
    /// The version.
    version: u32,
}

/// Publishes a workbook; fails, with everything that is wrong, when it can't be published.
pub fn publish(args: &PublishArgs) -> Outcome {
    let bytes = std::fs::read(&args.file)?;
    let stem = args.file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let mut found = import(&bytes, &stem);
    let Some(def) = found.def.clone() else {
        check::print(&found, &args.language);
        return Ok(ExitCode::FAILURE);
    };
    let name = def.name.clone();
    let files = attached(&found.files, &args.file, &args.attach)?;
    // what is missing after all, the service says
    found.problems.retain(|problem| problem.code != Code::MissingFile);
    check::print_problems(&found, &args.language);
    let service = open_service(&args.data)?;
    let published = service.publish_with(Actor::CommandLine, def, &files);
    match published {
        Ok(done) if !done.is_new => say!("{name} {} says the same already: nothing published", done.version),
        Ok(done) => match done.difference {
            Some(bytes) => say!("published {name} {} ({bytes} bytes to a phone with the version before)", done.version),
            None => say!("published {name} {} ({} bytes)", done.version, done.whole),
        },
        Err(FormError::Storage(error)) => return Err(error.into()),
        Err(error) => {
            say!("{}", error.message(&args.language));
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The files that a form needs, as far as they are there: those given, else those beside the workbook.
fn attached(needed: &[String], workbook: &Path, given: &[PathBuf]) -> std::io::Result<AttachedFiles> {
    let mut files = AttachedFiles::new();
    for name in needed {
        let given = given.iter().find(|path| path.file_name().is_some_and(|n| n == name.as_str()));
        let beside = workbook.with_file_name(name);
        match given {
            Some(path) => drop(files.insert(name.clone(), std::fs::read(path)?)),
            None if !name.contains(['/', '\\']) && beside.is_file() => {
                files.insert(name.clone(), std::fs::read(beside)?);
            }
            None => {}
        }
    }
    Ok(files)
}

/// Lists versions: name, number, what it is, record type, bytes.
pub fn list(args: &ListArgs) -> Outcome {
    let catalog = open_service(&args.data)?.forms()?;
    for form in Pack::built_in().forms() {
        if catalog.versions().all(|v| (&v.name, v.version) != (&form.name, form.version)) {
            say!("{}\t{}\t{}\tbuilt-in", form.name, form.version, state(&catalog, &form.name, form.version, false));
        }
    }
    for version in catalog.versions() {
        let bytes = version.packed.as_ref().map_or("built-in".to_owned(), |packed| format!("{} bytes", packed.len()));
        let state = state(&catalog, &version.name, version.version, version.retired);
        say!("{}\t{}\t{state}\t{bytes}", version.name, version.version);
    }
    Ok(ExitCode::SUCCESS)
}

fn state(catalog: &Catalog, name: &str, version: u32, retired: bool) -> &'static str {
    match catalog.newest(name) {
        _ if retired => "retired",
        Some(newest) if newest.version == version => "current",
        _ => "old",
    }
}

/// Retires a version.
pub fn retire(args: &RetireArgs) -> Outcome {
    let service = open_service(&args.data)?;
    if service.retire_form(Actor::CommandLine, &args.name, args.version)? {
        say!("retired {} {}", args.name, args.version);
    } else {
        say!("{} {} was retired before", args.name, args.version);
    }
    match service.forms()?.newest(&args.name) {
        Some(form) => say!("new records are made with version {}", form.version),
        None => say!("{} is not offered for new records any more", args.name),
    }
    Ok(ExitCode::SUCCESS)
}
