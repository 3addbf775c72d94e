//! `/audit`: who did what to which data, newest first; whether the log is whole; the log as a file.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use doorstep_core::id::{AreaId, DeviceId, UserId};
use doorstep_core::rights::Roles;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::phones::short_id;
use super::shell::{Request, Shell};
use super::texts;
use super::times;
use super::township::Township;
use crate::api::ApiError;
use crate::api::office::Office;
use crate::app::App;
use crate::limits;
use crate::service::Service;
use crate::service::audit::Action;
use crate::service::view::{self, People};
use crate::storage::audit::{AuditFault, AuditVerified};
use crate::storage::{AuditFilter, AuditRow};

/// People that are offered to choose from.
const PEOPLE_OFFERED: usize = 3_000;
/// Those who act without being a person.
const NOBODY: [&str; 4] = ["office", "command_line", "server", "unknown"];

/// The page.
#[derive(Template)]
#[template(path = "audit.html")]
pub struct AuditPage {
    /// Frame.
    pub shell: Shell,
    /// Kinds of acts: code, text, whether it is chosen.
    pub kinds: Vec<Choice>,
    /// People and others: code, name, whether chosen.
    pub people: Vec<Choice>,
    /// The day that is asked; empty for all.
    pub day: String,
    /// Newest first.
    pub rows: Vec<Entry>,
    /// The next page's address.
    pub next: Option<String>,
    /// What checking the chain found, and whether it is whole.
    pub checked: Option<(String, bool)>,
    /// The same page with the chain checked.
    pub check_href: String,
}

/// An option of a choice: value, text, whether it is chosen.
pub type Choice = (String, String, bool);

/// An entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its number.
    pub no: u64,
    /// What was done.
    pub kind: String,
    /// Who did it.
    pub by: String,
    /// When.
    pub at: String,
    /// To what: text and, where it has one, its page.
    pub about: Vec<(String, Option<String>)>,
    /// Why.
    pub reason: String,
    /// Further facts.
    pub details: String,
}

/// What is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AuditQuery {
    kind: String,
    who: String,
    day: String,
    after: Option<u64>,
    check: Option<String>,
}

/// `GET /audit`.
pub async fn get_audit(
    _: Office,
    State(app): State<Arc<App>>,
    request: Request,
    query: Result<Query<AuditQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let query = query.map(|Query(q)| q).unwrap_or_default();
    request.load(&app, query, load).await
}

fn load(service: &Service, request: &Request, query: &AuditQuery) -> Result<AuditPage, ApiError> {
    let township = Township::load(service)?;
    let shell = request.shell("audit", &township);
    let names = view::people(service, township.id)?;
    let filter = filter(&names, &township, query)?;
    let found = service.storage.audit(&filter)?;
    let rows: Vec<Entry> = found.iter().map(|row| entry(&shell, &township, &names, row)).collect();
    let full = found.len() as u32 >= limits::PAGE_ROWS;
    let next = found.last().filter(|_| full).map(|last| shell.next_page(last.position.seq));
    let checked = match &query.check {
        Some(_) => Some(verdict(&shell, service.verify_audit(None)?)),
        None => None,
    };
    let check_href = format!("{}check=1", shell.address.replace("check=1&", ""));
    let (kinds, people) = (kinds(&shell, &query.kind), people(&shell, &names, &query.who));
    Ok(AuditPage { kinds, people, day: query.day.clone(), rows, next, checked, check_href, shell })
}

fn filter(names: &People, township: &Township, query: &AuditQuery) -> Result<AuditFilter, ApiError> {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let known = |code: &String| Action::ALL.iter().any(|action| action.code() == code);
    let action = given(&query.kind);
    if action.as_ref().is_some_and(|code| !known(code)) {
        return Err(ApiError::bad_request("kind"));
    }
    let of = match query.who.as_str() {
        "" => None,
        nobody if NOBODY.contains(&nobody) => Some(vec![nobody.to_owned()]),
        id => {
            let user: UserId = id.parse().map_err(|_| ApiError::bad_request("who"))?;
            let devices = names.devices_of(user).map(|device| format!("device/{device}"));
            Some(std::iter::once(format!("user/{user}")).chain(devices).collect())
        }
    };
    let at_ms = match query.day.as_str() {
        "" => None,
        day => Some(times::day_span(day).ok_or_else(|| ApiError::bad_request("day"))?),
    };
    let (township, before) = (Some(township.id), query.after);
    Ok(AuditFilter { action, of, at_ms, township, before, limit: limits::PAGE_ROWS, ..AuditFilter::default() })
}

fn kinds(shell: &Shell, chosen: &str) -> Vec<Choice> {
    let all = (String::new(), shell.t("audit.all_kinds").to_owned(), chosen.is_empty());
    let each = Action::ALL.iter().map(|action| {
        let code = action.code();
        (code.to_owned(), kind_text(shell, code), code == chosen)
    });
    std::iter::once(all).chain(each).collect()
}

fn people(shell: &Shell, names: &People, chosen: &str) -> Vec<Choice> {
    let mut all = vec![(String::new(), shell.t("audit.all_people").to_owned(), chosen.is_empty())];
    all.extend(NOBODY.iter().map(|code| ((*code).to_owned(), actor_text(shell, names, code), *code == chosen)));
    let mut people: Vec<Choice> = names
        .users()
        .map(|user| {
            let unit = if user.unit.is_empty() { String::new() } else { format!("（{}）", user.unit) };
            let id = user.id.to_string();
            let is_chosen = id == chosen;
            (id, format!("{}{unit}", user.name), is_chosen)
        })
        .collect();
    people.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
    people.truncate(PEOPLE_OFFERED);
    all.extend(people);
    all
}

/// What was done, in words; the code where there are none.
pub(super) fn kind_text(shell: &Shell, code: &str) -> String {
    texts::find(&format!("audit.action.{code}"), shell.language).unwrap_or(code).to_owned()
}

fn actor_text(shell: &Shell, names: &People, actor: &str) -> String {
    match actor.split_once('/') {
        Some((kind, id)) => subject(shell, None, names, kind, id).0,
        None => texts::find(&format!("audit.actor.{actor}"), shell.language).unwrap_or(actor).to_owned(),
    }
}

/// A thing that an entry is about, in words, and its page.
fn subject(
    shell: &Shell,
    township: Option<&Township>,
    names: &People,
    kind: &str,
    id: &str,
) -> (String, Option<String>) {
    let label = texts::find(&format!("audit.about.{kind}"), shell.language).unwrap_or(kind);
    let short: String = id.chars().take(8).collect();
    let name = match kind {
        "user" => id.parse::<UserId>().map(|user| names.user(user)).unwrap_or_default(),
        "device" => id.parse::<DeviceId>().map_or_else(
            |_| String::new(),
            |device| format!("{} {}", names.device_user(device), short_id(device)).trim().to_owned(),
        ),
        "area" => {
            let area = id.parse::<AreaId>().ok();
            area.zip(township).map(|(area, township)| township.area_name(area, shell.language)).unwrap_or_default()
        }
        "import" | "form" => id.to_owned(),
        _ => String::new(),
    };
    let href = (kind == "record").then(|| format!("/households/{id}"));
    (format!("{label} {}", if name.is_empty() { short } else { name }), href)
}

/// A detail in the page's language; one that has no words yet as it is.
fn detail(shell: &Shell, name: &str, value: &Value) -> String {
    let words = |key: &str| texts::find(&format!("audit.detail.{key}"), shell.language);
    let text = match value {
        Value::Bool(is) => words(if *is { "yes" } else { "no" }).unwrap_or_default().to_owned(),
        Value::String(role) if name == "role" && Roles::builtin().contains(role) => {
            Roles::builtin().get(role).label.in_language(shell.language.code()).unwrap_or(role).to_owned()
        }
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    format!("{} {text}", words(name).unwrap_or(name))
}

fn entry(shell: &Shell, township: &Township, names: &People, row: &AuditRow) -> Entry {
    let about = row.entry.subjects.split(' ').filter_map(|one| one.split_once('/'));
    let details: Map<String, Value> = serde_json::from_str(&row.entry.details).unwrap_or_default();
    let details: Vec<String> = details.iter().map(|(name, value)| detail(shell, name, value)).collect();
    Entry {
        no: row.position.seq,
        kind: kind_text(shell, &row.entry.action),
        by: actor_text(shell, names, &row.entry.actor),
        at: shell.time(row.entry.at_ms),
        about: about.map(|(kind, id)| subject(shell, Some(township), names, kind, id)).collect(),
        reason: row.entry.reason.clone(),
        details: details.join(" · "),
    }
}

fn verdict(shell: &Shell, found: Result<AuditVerified, AuditFault>) -> (String, bool) {
    match found {
        Ok(whole) => {
            let position = format!("{}:{}", whole.head.seq, whole.head.chain);
            let values = [("n", shell.number(whole.entries)), ("position", position)];
            (shell.fill("audit.whole", &values.each_ref().map(|(name, value)| (*name, value.as_str()))), true)
        }
        Err(AuditFault::Changed(no) | AuditFault::Missing(no) | AuditFault::OtherEntry(no)) => {
            (shell.fill("audit.broken", &[("n", &shell.number(no))]), false)
        }
    }
}

#[cfg(test)]
impl AuditPage {
    /// For tests.
    pub fn sample(language: crate::messages::Language) -> Self {
        let shell = Shell::sample("audit", language);
        let label = |kind: &str| format!("{} a1b2c3d4", shell.t(&format!("audit.about.{kind}")));
        let row = Entry {
            no: 12,
            kind: kind_text(&shell, "masked_look"),
            by: "王<script>".to_owned(),
            at: "2020-06-01 08:00".to_owned(),
            about: vec![(label("record"), Some("/households/00".to_owned())), (label("user"), None)],
            reason: "<script>".to_owned(),
            details: "n 3".to_owned(),
        };
        let names = People::default();
        Self {
            kinds: kinds(&shell, "export"),
            people: people(&shell, &names, "office"),
            day: "2020-06-01".to_owned(),
            rows: vec![row.clone(), Entry { reason: String::new(), about: Vec::new(), details: String::new(), ..row }],
            next: Some("/audit?after=1".to_owned()),
            checked: Some(verdict(&shell, Err(AuditFault::Changed(3)))),
            check_href: "/audit?check=1".to_owned(),
            shell,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Language;

    #[test]
    fn details_stand_in_the_language_of_the_page() {
        let said = |language, name: &str, value: Value| detail(&Shell::sample("audit", language), name, &value);
        assert_eq!(said(Language::Zh, "role", "helper".into()), "岗位 帮扶责任人");
        assert_eq!(said(Language::En, "role", "helper".into()), "role Helper");
        assert_eq!(said(Language::Zh, "given", false.into()), "有效 否");
        assert_eq!(said(Language::En, "new_word", 3.into()), "new_word 3");
    }
}
