//! `/duplicates`: households and members that may stand twice, for the office to decide; and what was decided.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use doorstep_core::id::{ChangeHash, RecordId};
use doorstep_core::link::{Side, Verdict};
use serde::Deserialize;

use super::shell::{Request, Shell};
use super::township::{Township, parse_area};
use crate::api::ApiError;
use crate::api::office::{Office, same_origin};
use crate::app::App;
use crate::service::desk::Desk;
use crate::service::links::{DecidedLink, LinkDecision, OpenCandidate};

/// Candidates on a page.
const PAGE_CANDIDATES: usize = 50;
/// Decided ones on a page.
const DECIDED: usize = 100;

/// The page.
#[derive(Template)]
#[template(path = "duplicates.html")]
pub struct DuplicatesPage {
    /// Frame.
    pub shell: Shell,
    /// Candidates, the likeliest first.
    pub rows: Vec<CandidateRow>,
    /// How many households were looked at, and when.
    pub looked: String,
    /// What was decided.
    pub decided: Vec<DecidedRow>,
    /// The next page's address.
    pub next: Option<String>,
}

/// A household or member of a candidate.
#[derive(Debug, Clone)]
pub struct SideRow {
    /// The household.
    pub household: String,
    /// The member; empty for the household.
    pub member: String,
    /// What it is called.
    pub name: String,
    /// Village.
    pub village: String,
}

/// Two that may be the same.
#[derive(Debug, Clone)]
pub struct CandidateRow {
    /// The two.
    pub sides: Vec<SideRow>,
    /// They are members.
    pub of_members: bool,
    /// 1 to 100.
    pub score: u32,
    /// Why, in words.
    pub reasons: String,
    /// People decided differently.
    pub is_disputed: bool,
    /// The link's heads.
    pub heads: String,
}

/// A decision that can be taken back.
#[derive(Debug, Clone)]
pub struct DecidedRow {
    /// The two households, or members: address of the household and name.
    pub sides: Vec<(String, String)>,
    /// What was decided, in words.
    pub verdict: &'static str,
    /// For taking it back; `None` where a member isn't there any more.
    pub undo: Option<Undo>,
}

/// What a decision was about: for taking it back.
#[derive(Debug, Clone)]
pub struct Undo {
    /// The two.
    pub sides: (Side, Side),
    /// The link's heads.
    pub heads: String,
}

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
pub struct DuplicatesQuery {
    area: Option<String>,
    after: Option<usize>,
}

fn hex(heads: &[ChangeHash]) -> String {
    heads.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn candidate_row(shell: &Shell, township: &Township, open: &OpenCandidate) -> CandidateRow {
    let c = &open.candidate;
    let side = |side: &Side, name: &str, area| SideRow {
        household: side.household.to_string(),
        member: side.member.clone().unwrap_or_default(),
        name: if name.is_empty() { shell.t("record.nameless").to_owned() } else { name.to_owned() },
        village: township.area_name(area, shell.language),
    };
    let reasons: Vec<&str> = c.reasons.iter().map(|r| shell.t(&format!("duplicates.{}", r.code()))).collect();
    CandidateRow {
        sides: vec![side(&c.sides.0, &c.names.0, c.areas.0), side(&c.sides.1, &c.names.1, c.areas.1)],
        of_members: c.sides.0.member.is_some(),
        score: c.score,
        reasons: reasons.join(shell.t("answer.separator")),
        is_disputed: open.is_disputed,
        heads: hex(&open.heads),
    }
}

fn decided_row(shell: &Shell, decided: &DecidedLink) -> DecidedRow {
    let link = &decided.stored.link;
    let (one, other) = link.households;
    let verdict = match (link.is_same, link.of_members) {
        (true, false) => shell.t("duplicates.same"),
        (true, true) => shell.t("duplicates.same_person"),
        (false, false) => shell.t("duplicates.not_same"),
        (false, true) => shell.t("duplicates.not_same_person"),
    };
    let side = |id: RecordId, name: &str| (format!("/households/{id}"), name.to_owned());
    DecidedRow {
        sides: vec![side(one, &decided.names.0), side(other, &decided.names.1)],
        verdict,
        undo: decided.sides.clone().map(|sides| Undo { sides, heads: hex(&decided.heads) }),
    }
}

fn load(desk: &Desk, request: &Request, query: &DuplicatesQuery) -> Result<DuplicatesPage, ApiError> {
    let township = Township::load(desk.service())?;
    let shell = request.shell("duplicates", &township);
    let area = parse_area(query.area.as_deref())?;
    let page = (query.after.unwrap_or(0), PAGE_CANDIDATES);
    let (open, next, found) = desk.open_candidates(township.id, area, page)?;
    let decided = desk.decided_links(township.id, DECIDED)?;
    let households = shell.number(found.households as u64);
    let at = area.map(|a| format!("area={a}&")).unwrap_or_default();
    Ok(DuplicatesPage {
        rows: open.iter().map(|open| candidate_row(&shell, &township, open)).collect(),
        looked: shell.fill("duplicates.looked", &[("n", &households), ("time", &shell.time(found.as_of_ms))]),
        decided: decided.iter().map(|decided| decided_row(&shell, decided)).collect(),
        next: next.map(|next| format!("/duplicates?{at}after={next}")),
        shell,
    })
}

/// `GET /duplicates`.
pub async fn get_duplicates(
    _: Office,
    State(app): State<Arc<App>>,
    request: Request,
    query: Result<Query<DuplicatesQuery>, QueryRejection>,
) -> Response {
    let (desk, asked, query) = (app.desk.clone(), request.clone(), query.map(|Query(q)| q).unwrap_or_default());
    let page = app.blocking(move || load(&desk, &asked, &query)).await;
    request.answer(page.and_then(|page| page))
}

/// The button that was pressed.
#[derive(Debug, Deserialize)]
pub struct Pressed {
    a: String,
    b: String,
    #[serde(default)]
    member_a: String,
    #[serde(default)]
    member_b: String,
    #[serde(default)]
    heads: String,
    /// A verdict, and after a space the household that stands for both.
    verdict: String,
}

impl Pressed {
    fn decision(&self) -> Result<LinkDecision, ApiError> {
        let side = |household: &str, member: &str| {
            let household = household.parse().map_err(|_| ApiError::bad_request("household"))?;
            Ok::<_, ApiError>(Side { household, member: (!member.is_empty()).then(|| member.to_owned()) })
        };
        let (verdict, leads) = self.verdict.split_once(' ').unwrap_or((&self.verdict, ""));
        let leads = (!leads.is_empty()).then(|| leads.parse()).transpose();
        let heads = self.heads.split(',').filter(|h| !h.is_empty()).map(str::parse).collect::<Result<Vec<_>, _>>();
        Ok(LinkDecision {
            sides: (side(&self.a, &self.member_a)?, side(&self.b, &self.member_b)?),
            verdict: Verdict::parse(verdict).ok_or_else(|| ApiError::bad_request("verdict"))?,
            leads: leads.map_err(|_| ApiError::bad_request("verdict"))?,
            heads: heads.map_err(|_| ApiError::bad_request("heads"))?,
            reason: String::new(),
        })
    }
}

/// `POST /duplicates`.
pub async fn post_duplicates(
    office: Office,
    State(app): State<Arc<App>>,
    request: Request,
    headers: HeaderMap,
    body: Result<Form<Pressed>, FormRejection>,
) -> Response {
    let checked = same_origin(&headers).and_then(|()| body.map_err(|_| ApiError::bad_request("body")));
    let decision = match checked.and_then(|Form(pressed)| pressed.decision()) {
        Ok(decision) => decision,
        Err(error) => return request.answer(Err::<DuplicatesPage, _>(error)),
    };
    let desk = app.desk.clone();
    let done = app.blocking(move || {
        let township = Township::load(desk.service())?.id;
        Ok(desk.link(office.actor(), township, &decision).map(drop)?)
    });
    match done.await.and_then(|done| done) {
        Ok(()) => Redirect::to("/duplicates").into_response(),
        Err(error) => request.answer(Err::<DuplicatesPage, _>(error)),
    }
}

#[cfg(test)]
impl DuplicatesPage {
    /// For tests.
    pub fn sample(language: crate::messages::Language) -> Self {
        use crate::service::duplicates::Reason;
        let shell = Shell::sample("duplicates", language);
        let side = |member: &str| SideRow {
            household: "00".to_owned(),
            member: member.to_owned(),
            name: "王<script>".to_owned(),
            village: "石桥村".to_owned(),
        };
        let reasons: Vec<&str> = Reason::ALL.iter().map(|r| shell.t(&format!("duplicates.{}", r.code()))).collect();
        let row = |member, of_members| CandidateRow {
            sides: vec![side(member), side(member)],
            of_members,
            score: 75,
            reasons: reasons.join(shell.t("answer.separator")),
            is_disputed: of_members,
            heads: String::new(),
        };
        let member = Side { household: RecordId([0; 16]), member: Some("a1".to_owned()) };
        let decided = |undo| DecidedRow {
            sides: vec![("/households/00".to_owned(), "王<script>".to_owned()); 2],
            verdict: shell.t("duplicates.same"),
            undo,
        };
        Self {
            rows: vec![row("", false), row("a1", true)],
            looked: shell.fill("duplicates.looked", &[("n", "2"), ("time", "2020-06-01 08:00")]),
            decided: vec![
                decided(Some(Undo { sides: (member, Side::of(RecordId([1; 16]))), heads: String::new() })),
                decided(None),
            ],
            next: Some("/duplicates?after=50".to_owned()),
            shell,
        }
    }
}
