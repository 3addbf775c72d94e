//! A form being filled, page by page.

use std::sync::{Arc, Mutex, PoisonError};

use doorstep_core::client::filling::{self, FillOptions};
use doorstep_core::client::screen::{Line, Screen};
use doorstep_core::client::{self, NewRecord};
use doorstep_core::form::Form;
use doorstep_core::form::session::{EntryKind, Offered, Progress};
use doorstep_core::id::{AreaId, RecordId};
use doorstep_core::store::{DraftId, DraftRow};

use crate::error::PhoneError;
use crate::phone::Phone;

/// A form that new records can be made with.
#[derive(Debug, Clone, uniffi::Record)]
pub struct FormInfo {
    pub name: String,
    pub version: u32,
    /// In the language asked for, else the form's own.
    pub title: String,
    /// What a record is about: `none`, `household`, `person`, `village`, `several`.
    pub subject: String,
    /// The languages of its labels, as `fill` takes them.
    pub languages: Vec<String>,
}

impl FormInfo {
    pub(crate) fn of(form: &Form, language: &str) -> Self {
        Self {
            name: form.name.clone(),
            version: form.version,
            title: form.title(language).to_owned(),
            subject: form.subject.as_str().to_owned(),
            languages: form.languages.clone(),
        }
    }
}

/// A form that isn't finished.
#[derive(Debug, Clone, uniffi::Record)]
pub struct Draft {
    pub id: i64,
    /// The form's name.
    pub form: String,
    /// What it is about.
    pub subject: Option<RecordId>,
    /// The record that is edited; none for a new one.
    pub record: Option<RecordId>,
    /// Milliseconds since 1970, by the phone's clock.
    pub opened_ms: u64,
    /// Answers so far.
    pub answers: u64,
}

impl From<DraftRow> for Draft {
    fn from(row: DraftRow) -> Self {
        Self {
            id: row.id.0,
            form: row.form,
            subject: row.subject,
            record: row.record,
            opened_ms: row.opened_ms,
            answers: row.answers,
        }
    }
}

/// The page in view.
#[derive(Debug, Clone, uniffi::Record)]
pub struct FormPage {
    /// Labels of the groups and repeats around it, outermost first.
    pub trail: Vec<String>,
    pub lines: Vec<FormLine>,
    pub is_first: bool,
    /// After it comes finishing.
    pub is_last: bool,
}

impl From<Screen> for FormPage {
    fn from(screen: Screen) -> Self {
        Self {
            trail: screen.trail.iter().map(ToString::to_string).collect(),
            lines: screen.lines.into_iter().map(Into::into).collect(),
            is_first: screen.is_first,
            is_last: screen.is_last,
        }
    }
}

/// What a line of a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum LineKind {
    /// A question to answer.
    Question,
    /// A text to read.
    Note,
    /// The heading of a group or repeat instance.
    Heading,
    /// A button that adds an instance of the repeat at `path`.
    AddInstance,
}

/// A line of a page.
#[derive(Debug, Clone, uniffi::Record)]
pub struct FormLine {
    pub kind: LineKind,
    /// The place, as `/data/member[2]/age`.
    pub path: String,
    /// The kind of answer, as `integer` or `select_one`; blank where none is taken.
    pub question: String,
    pub label: String,
    pub hint: Option<String>,
    pub guidance: Option<String>,
    /// The answer as text; names of choices with blanks between them.
    pub value: String,
    pub required: bool,
    pub read_only: bool,
    /// How to show it, as XLSForm's column `appearance` says.
    pub appearance: Option<String>,
    /// The choices on offer now.
    pub choices: Vec<FormChoice>,
    /// Why the answer can't stand as things are.
    pub problem: Option<String>,
    /// What the last round answered here.
    pub last_answer: Option<String>,
}

impl From<Line> for FormLine {
    fn from(line: Line) -> Self {
        let (kind, question) = match &line.entry.kind {
            EntryKind::Question(kind) => (LineKind::Question, kind.as_str().to_owned()),
            EntryKind::Note => (LineKind::Note, String::new()),
            EntryKind::Heading => (LineKind::Heading, String::new()),
            EntryKind::AddInstance => (LineKind::AddInstance, String::new()),
        };
        Self {
            kind,
            path: line.path,
            question,
            label: line.entry.label.to_string(),
            hint: line.entry.hint.map(|text| text.to_string()),
            guidance: line.guidance.map(|text| text.to_string()),
            value: line.entry.value.to_string(),
            required: line.entry.required,
            read_only: line.entry.read_only,
            appearance: line.entry.appearance,
            choices: line.choices.into_iter().map(Into::into).collect(),
            problem: line.problem,
            last_answer: line.last_answer,
        }
    }
}

/// A choice on offer.
#[derive(Debug, Clone, uniffi::Record)]
pub struct FormChoice {
    /// The answer.
    pub name: String,
    pub label: String,
}

impl From<Offered> for FormChoice {
    fn from(choice: Offered) -> Self {
        Self { name: choice.name.to_string(), label: choice.label.to_string() }
    }
}

/// How far filling has come.
#[derive(Debug, Clone, Copy, uniffi::Record)]
pub struct FormProgress {
    /// Questions with an answer, among those that apply.
    pub answered: u64,
    /// Questions that apply.
    pub questions: u64,
    /// Required questions without an answer.
    pub required_missing: u64,
}

impl From<Progress> for FormProgress {
    fn from(progress: Progress) -> Self {
        Self {
            answered: progress.answered as u64,
            questions: progress.questions as u64,
            required_missing: progress.required_missing as u64,
        }
    }
}

/// What keeps a form from being finished.
#[derive(Debug, Clone, uniffi::Record)]
pub struct FormProblem {
    /// The place, for `go_to`.
    pub path: String,
    pub label: String,
    pub message: String,
}

/// A form being filled. Each answer is saved when its call returns; the object may be dropped at any time and the draft filled
/// again. After `Phone.close_store` and `reopen_store` it goes on where the journal is, on its first page.
#[derive(uniffi::Object)]
pub struct Filling {
    phone: Arc<Phone>,
    options: FillOptions,
    state: Mutex<State>,
}

struct State {
    draft: DraftId,
    open: Option<filling::Filling>,
}

impl Filling {
    pub(crate) fn new(phone: Arc<Phone>, draft: DraftId, options: FillOptions) -> Arc<Self> {
        Arc::new(Self { phone, options, state: Mutex::new(State { draft, open: None }) })
    }

    /// Opens the form, so that what is wrong with it shows.
    pub(crate) fn open(&self) -> Result<(), PhoneError> {
        self.with(|_| Ok(()))
    }

    /// Lets go of the database.
    pub(crate) fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).open = None;
    }

    /// Runs with the core's phone and form, opening the form where it isn't.
    fn with<T>(&self, act: impl FnOnce(&mut filling::Filling) -> Result<T, PhoneError>) -> Result<T, PhoneError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let phone = self.phone.inner()?;
        if state.open.is_none() {
            state.open = Some(phone.fill(state.draft, self.options.clone())?);
        }
        match &mut state.open {
            Some(open) => act(open),
            None => Err(PhoneError::Closed),
        }
    }

    /// Runs with the form taken out: what ends it.
    fn ending<T>(
        &self,
        end: impl FnOnce(&client::Phone, filling::Filling, &mut State) -> Result<T, client::PhoneError>,
    ) -> Result<T, PhoneError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let phone = self.phone.inner()?;
        let open = match state.open.take() {
            Some(open) => open,
            None => phone.fill(state.draft, self.options.clone())?,
        };
        Ok(end(&phone, open, &mut state)?)
    }

    /// An action that the form may refuse: what to tell the person then, in the form's language.
    fn refusable(
        &self,
        act: impl FnOnce(&mut filling::Filling) -> Result<(), client::PhoneError>,
    ) -> Result<Option<String>, PhoneError> {
        self.with(|open| match act(open) {
            Ok(()) => Ok(None),
            Err(client::PhoneError::Refused(refusal)) => Ok(Some(refusal.message(open.screen_language()))),
            Err(error) => Err(error.into()),
        })
    }
}

#[uniffi::export]
impl Filling {
    /// The draft's number; another one after `share`.
    pub fn draft(&self) -> i64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).draft.0
    }

    /// The page in view; none for a form that shows nothing.
    pub fn page(&self) -> Result<Option<FormPage>, PhoneError> {
        self.with(|open| Ok(open.screen().map(Into::into)))
    }

    /// Turns to the next page that applies; false at the end.
    pub fn next(&self) -> Result<bool, PhoneError> {
        self.with(|open| Ok(open.next_page()))
    }

    /// Turns to the page before; false at the beginning.
    pub fn previous(&self) -> Result<bool, PhoneError> {
        self.with(|open| Ok(open.previous_page()))
    }

    /// Turns to the page that shows a place; false where none does.
    pub fn go_to(&self, path: String) -> Result<bool, PhoneError> {
        self.with(|open| Ok(open.go_to(&path)))
    }

    /// Answers the question at a place: text, number, date as `2026-03-01`, names of choices with blanks between them; blank
    /// clears. Gives what to tell the person where the form refuses: the old answer stays.
    pub fn answer(&self, path: String, text: String) -> Result<Option<String>, PhoneError> {
        self.refusable(|open| open.answer_at(&path, &text))
    }

    /// Adds an instance of the repeat at `path` and turns to it; gives what to tell the person where the form refuses.
    pub fn add_instance(&self, path: String) -> Result<Option<String>, PhoneError> {
        self.refusable(|open| open.add_at(&path).map(drop))
    }

    /// Removes a repeat instance, as `/data/member[2]`; gives what to tell the person where the form refuses.
    pub fn remove_instance(&self, path: String) -> Result<Option<String>, PhoneError> {
        self.refusable(|open| open.remove_at(&path))
    }

    /// Takes the last action back with all that it set off; false when there is none.
    pub fn undo(&self) -> Result<bool, PhoneError> {
        self.with(|open| Ok(open.undo()?))
    }

    /// "No change": takes the last round's answers over for a group, repeat instance or question; gives how many.
    pub fn no_change(&self, path: String) -> Result<u64, PhoneError> {
        self.with(|open| Ok(open.no_change(open.place(&path)?)? as u64))
    }

    /// Shows labels in another of the form's languages.
    pub fn set_language(&self, language: String) -> Result<(), PhoneError> {
        self.with(|open| {
            open.set_language(&language);
            Ok(())
        })
    }

    /// How far filling has come.
    pub fn progress(&self) -> Result<FormProgress, PhoneError> {
        self.with(|open| Ok(open.session().progress().into()))
    }

    /// What keeps the form from being finished, in order of the form.
    pub fn problems(&self) -> Result<Vec<FormProblem>, PhoneError> {
        self.with(|open| {
            let language = open.screen_language();
            let session = open.session();
            let told = session.problems().into_iter().map(|problem| FormProblem {
                label: session.label(problem.spot).to_string(),
                message: problem.kind.message(language),
                path: problem.path,
            });
            Ok(told.collect())
        })
    }

    /// Finishes: the answers become part of a record, which waits to be sent. `NotAccepted` while there are `problems`. `area`
    /// places a new record without subject.
    pub fn finish(&self, area: Option<AreaId>) -> Result<RecordId, PhoneError> {
        self.ending(|phone, open, _| phone.finish_filled(open, &NewRecord { area, campaign: None }))
    }

    /// Shares the form unfinished: what there is can be synced, and filling goes on.
    pub fn share(&self, area: Option<AreaId>) -> Result<(), PhoneError> {
        self.ending(|phone, open, state| {
            let shared = phone.share_filled(open, &NewRecord { area, campaign: None })?;
            state.draft = shared.draft();
            state.open = Some(shared);
            Ok(())
        })
    }

    /// Throws the draft away.
    pub fn discard(&self) -> Result<(), PhoneError> {
        self.ending(|_, open, _| open.discard())
    }
}
