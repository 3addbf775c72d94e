//! `doorstep register`: preview, import, faulty rows back, list of imports, undo.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use doorstep_core::id::AreaId;

use super::admin::the_township;
use super::serve::open_service;
use super::{DataOptions, Outcome};
use crate::messages::Language;
use crate::register::columns::Target;
use crate::register::lists::{self, Item, Kind, List};
use crate::register::planned::State;
use crate::register::preview::{Page, Preview};
use crate::register::{Counts, HOUSEHOLDS, Options, RegisterError, Table, fault, office_user, undo};
use crate::say;
use crate::service::Service;
use crate::service::audit::{Act, Action, Actor};
use crate::storage::TownshipId;

/// Options of `register`.
#[derive(Args)]
pub struct RegisterArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Say what an import would do; nothing is written.
    Preview(PreviewArgs),
    /// Import the good households; faulty ones are held back.
    Import(ImportArgs),
    /// Write the faulty rows to a workbook with reasons, which imports once it is mended.
    Faulty(FaultyArgs),
    /// List imports: number, kind, file, state, households and persons that were new and changed.
    Imports(ListArgs),
    /// Undo an import, as long as nobody has edited one of its records since.
    Undo(UndoArgs),
}

/// Where, and how a file is read.
#[derive(Args)]
struct FileOptions {
    #[command(flatten)]
    data: DataOptions,
    /// The township, where there are several.
    #[arg(long)]
    township: Option<AreaId>,
    /// The spreadsheet: .csv (UTF-8, GBK, UTF-16), .xlsx or .xls.
    file: PathBuf,
    /// What it holds: households (with members), areas, people or pairings.
    #[arg(long, default_value = "households")]
    kind: String,
    /// The workbook's sheet; the first with a known header if none is named.
    #[arg(long)]
    sheet: Option<String>,
    /// What a column means: HEADER=QUESTION, or HEADER=- to leave it aside; once for each. Remembered with the import.
    #[arg(long = "map", value_name = "HEADER=QUESTION")]
    mapping: Vec<String>,
    /// Write only these questions (names or headers, separated by commas) and add nobody.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The village of rows that name none.
    #[arg(long)]
    village: Option<String>,
    /// Language of messages: zh or en.
    #[arg(long, default_value = "zh")]
    language: String,
}

#[derive(Args)]
struct PreviewArgs {
    #[command(flatten)]
    file: FileOptions,
    /// Rows to list.
    #[arg(long, default_value_t = 50)]
    rows: usize,
    /// Rows to leave out before.
    #[arg(long, default_value_t = 0)]
    skip: usize,
    /// List rows that stay as they are, too.
    #[arg(long)]
    unchanged: bool,
    /// Show sensitive answers (ID numbers, telephone, health, income) in clear.
    #[arg(long)]
    show_values: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct ImportArgs {
    #[command(flatten)]
    file: FileOptions,
    /// The token that the preview printed: what others changed since stays beside it as a difference.
    #[arg(long)]
    token: Option<String>,
}

#[derive(Args)]
struct FaultyArgs {
    #[command(flatten)]
    file: FileOptions,
    /// The workbook to write; must not exist.
    #[arg(long)]
    to: PathBuf,
}

#[derive(Args)]
struct ListArgs {
    #[command(flatten)]
    data: DataOptions,
    /// The township, where there are several.
    #[arg(long)]
    township: Option<AreaId>,
}

#[derive(Args)]
struct UndoArgs {
    #[command(flatten)]
    list: ListArgs,
    /// The import's number.
    no: u64,
    /// Language of messages: zh or en.
    #[arg(long, default_value = "zh")]
    language: String,
}

/// Runs `register`.
pub fn register(args: &RegisterArgs) -> Outcome {
    let (result, language) = match &args.what {
        What::Preview(args) => (preview(args), &args.file.language),
        What::Import(args) => (import(args), &args.file.language),
        What::Faulty(args) => (faulty(args), &args.file.language),
        What::Imports(args) => return imports(args),
        What::Undo(args) => (undo_import(args), &args.language),
    };
    match result {
        Err(error) => match error.downcast_ref::<RegisterError>().and_then(RegisterError::text) {
            Some(text) => {
                say!("{}", text.in_language(language_of(language)));
                Ok(ExitCode::FAILURE)
            }
            None => Err(error),
        },
        done => done,
    }
}

fn language_of(code: &str) -> Language {
    Language::from_code(code).unwrap_or_default()
}

impl FileOptions {
    fn options(&self) -> Result<Options, Box<dyn std::error::Error + Send + Sync>> {
        let mut mapping = BTreeMap::new();
        for pair in &self.mapping {
            let (header, name) = pair.rsplit_once('=').ok_or("--map takes HEADER=QUESTION")?;
            mapping.insert(header.to_owned(), name.to_owned());
        }
        Ok(Options {
            file_name: file_name(&self.file),
            sheet: self.sheet.clone(),
            mapping,
            only: self.only.clone(),
            village: self.village.clone(),
        })
    }

    /// The table of areas, people or pairings; `None` for one of households.
    fn list(&self, service: &Service) -> Result<Option<List>, Box<dyn std::error::Error + Send + Sync>> {
        if self.kind == HOUSEHOLDS {
            return Ok(None);
        }
        let kind = Kind::parse(&self.kind).ok_or(RegisterError::Table("unknown_kind"))?;
        let township = the_township(&*service.storage, self.township)?;
        Ok(Some(List::read(service, kind, township, &std::fs::read(&self.file)?, &self.options()?)?))
    }

    fn read(&self, service: &Service) -> Result<Table, Box<dyn std::error::Error + Send + Sync>> {
        let township = the_township(&*service.storage, self.township)?;
        Ok(Table::read(service, township, &std::fs::read(&self.file)?, &self.options()?)?)
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

fn preview(args: &PreviewArgs) -> Outcome {
    let service = open_service(&args.file.data)?;
    if let Some(list) = args.file.list(&service)? {
        let items = list.plan(&service)?;
        if args.json {
            say!("{}", list.preview_json(&items, args.skip, args.rows));
        } else {
            print_items(&items, args, language_of(&args.file.language));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let table = args.file.read(&service)?;
    if args.show_values {
        let act = Act::new(Action::MaskedLook).because("register preview --show-values");
        service.audit(Actor::CommandLine, act)?;
    }
    let page = Page { skip: args.skip, rows: args.rows, unchanged: args.unchanged, show_values: args.show_values };
    let preview = table.preview(&service, page)?;
    if args.json {
        say!("{}", table.preview_json(&preview, args.show_values));
    } else {
        print_preview(&table, &preview, language_of(&args.file.language), args.show_values);
    }
    Ok(ExitCode::SUCCESS)
}

fn counts(language: Language, what: &str, counts: &Counts) -> String {
    let Counts { new, changed, unchanged, faulty } = counts;
    match language {
        Language::Zh => format!("{what}：新增 {new}，变更 {changed}，不变 {unchanged}，有误 {faulty}"),
        Language::En => format!("{what}: {new} new, {changed} changed, {unchanged} unchanged, {faulty} faulty"),
    }
}

fn print_preview(table: &Table, preview: &Preview, language: Language, show_values: bool) {
    let pick = |zh: &'static str, en: &'static str| if language == Language::Zh { zh } else { en };
    for column in &table.columns().list {
        match table.meaning(column.target) {
            (_, Some(question)) => say!("  {} -> {question}", column.header),
            ("unknown", _) => say!("  {} -> {}", column.header, pick("不认识，未导入", "not known, left aside")),
            ("twice", _) => {
                say!("  {} -> {}", column.header, pick("与前面的列重复，未导入", "another column says it, left aside"))
            }
            _ => say!("  {} -> {}", column.header, pick("不导入", "left aside")),
        }
    }
    debug_assert!(table.columns().list.iter().all(|c| !matches!(c.target, Target::Field(_)) || !c.header.is_empty()));
    say!("{}", counts(language, pick("户", "households"), &preview.households));
    say!("{}", counts(language, pick("人", "persons"), &preview.persons));
    for (code, count, row) in preview.notes.iter() {
        say!("  {}: {count} ({} {row})", fault::text(code).in_language(language), pick("首见行", "first in row"));
    }
    for row in &preview.rows {
        say!("{} {} | {} | {} | {}", pick("行", "row"), row.row, row.number, row.name, row.state.as_str());
        for change in &row.changes {
            let (label, old, new) = table.shown(change, language, show_values);
            say!("    {label}: {old} -> {new}");
        }
        for fault in &row.faults {
            let header = fault.column.map(|c| table.columns().header(c)).unwrap_or_default();
            say!("    ! {header} {}", fault.message(language));
        }
    }
    if preview.listed > preview.rows.len() {
        say!("{} {} / {}", pick("已列出行", "rows listed"), preview.rows.len(), preview.listed);
    }
    say!(
        "{}",
        pick(
            "未写入任何内容。空白的格子不会清除原有答案；要清除请填“-清空-”。",
            "Nothing was written. A blank cell leaves an answer as it is; \"-清空-\" clears it."
        )
    );
    say!("token: {}", preview.token);
}

fn print_items(items: &[Item], args: &PreviewArgs, language: Language) {
    let pick = |zh: &'static str, en: &'static str| if language == Language::Zh { zh } else { en };
    say!("{}", counts(language, pick("行", "rows"), &lists::counts(items)));
    let listed = items.iter().filter(|i| args.unchanged || i.state != State::Unchanged);
    for item in listed.skip(args.skip).take(args.rows) {
        let change = item.change.as_ref().map(|(old, new)| format!(": {old} -> {new}")).unwrap_or_default();
        say!("{} {} | {} | {}{change}", pick("行", "row"), item.row, item.name, item.state.as_str());
        for fault in &item.faults {
            say!("    ! {}", fault.message(language));
        }
    }
    say!("{}", pick("未写入任何内容。", "Nothing was written."));
}

fn import(args: &ImportArgs) -> Outcome {
    let service = open_service(&args.file.data)?;
    let language = language_of(&args.file.language);
    let name = file_name(&args.file.file);
    if let Some(list) = args.file.list(&service)? {
        let done = list.import(&service, office_user(&service)?, &name, Actor::CommandLine)?;
        say!("{}", counts(language, if language == Language::Zh { "行" } else { "rows" }, &done.rows));
        return Ok(ExitCode::SUCCESS);
    }
    let table = args.file.read(&service)?;
    let user = office_user(&service)?;
    let done = table.import(&service, user, &name, args.token.as_deref(), Actor::CommandLine)?;
    let pick = |zh: &'static str, en: &'static str| if language == Language::Zh { zh } else { en };
    say!("{}", counts(language, pick("户", "households"), &done.households));
    say!("{}", counts(language, pick("人", "persons"), &done.persons));
    match done.no {
        Some(no) => {
            say!("{} {no}: {} {}", pick("导入编号", "import"), done.changes, pick("处改动已写入", "changes written"))
        }
        None => say!("{}", pick("没有需要写入的改动", "nothing to write: 0 changes written")),
    }
    if done.households.faulty > 0 {
        say!(
            "{}",
            pick(
                "有误的户整户退回：用 doorstep register faulty 导出，改好后再导入。",
                "Households with a faulty row were held back whole: doorstep register faulty gives them back for mending."
            )
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn faulty(args: &FaultyArgs) -> Outcome {
    if args.to.exists() {
        return Err("the file exists already; it is never replaced".into());
    }
    let service = open_service(&args.file.data)?;
    let language = language_of(&args.file.language);
    let found = match args.file.list(&service)? {
        Some(list) => list.faulty(&service, language)?,
        None => args.file.read(&service)?.faulty(&service, language)?,
    };
    match found.workbook {
        Some(bytes) => {
            service.audit(Actor::CommandLine, Act::new(Action::Export).with("faulty_rows", found.rows))?;
            std::fs::write(&args.to, bytes)?;
            say!("{} households, {} rows written to {}", found.households, found.rows, args.to.display());
            if found.left_out > 0 {
                say!("{} more rows had no place: mend and import these first", found.left_out);
            }
        }
        None => say!("no faulty rows"),
    }
    Ok(ExitCode::SUCCESS)
}

fn imports(args: &ListArgs) -> Outcome {
    let service = open_service(&args.data)?;
    let township = the_township(&*service.storage, args.township)?;
    for row in service.storage.imports(township, None, 500)? {
        say!("{}\t{}\t{}\t{}\t{}", row.no, row.import.kind, row.import.file_name, row.state.as_str(), row.summary);
    }
    Ok(ExitCode::SUCCESS)
}

fn undo_import(args: &UndoArgs) -> Outcome {
    let service = open_service(&args.list.data)?;
    let township: TownshipId = the_township(&*service.storage, args.list.township)?;
    let done = undo::undo(&service, township, args.no, office_user(&service)?, Actor::CommandLine)?;
    say!("import {} undone: {} ended, {} restored, {} changes", args.no, done.ended, done.restored, done.changes);
    Ok(ExitCode::SUCCESS)
}
