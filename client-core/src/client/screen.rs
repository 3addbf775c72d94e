//! A form on a screen: the page in view with its questions, choices and problems, and the way from page to page.

use std::sync::Arc;

use super::PhoneError;
use super::filling::Filling;
use crate::form::expression::Spot;
use crate::form::session::{Entry, EntryKind, Offered, PageId, Refusal};

/// The page in view.
#[derive(Debug, Clone, PartialEq)]
pub struct Screen {
    /// Labels of the groups and repeats around it, outermost first.
    pub trail: Vec<Arc<str>>,
    /// What it shows, in order.
    pub lines: Vec<Line>,
    /// There is no page before it.
    pub is_first: bool,
    /// There is no page after it.
    pub is_last: bool,
}

/// A line of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Label, hint, answer and the rest.
    pub entry: Entry,
    /// Where it stands, as `/data/member[2]/age`: the name of the place in [`Filling::place`]. For a button that adds an instance
    /// the repeat without index, as `/data/member`.
    pub path: String,
    /// The choices on offer now.
    pub choices: Vec<Offered>,
    /// Longer guidance.
    pub guidance: Option<Arc<str>>,
    /// Why the answer can't stand as things are, in the screen's language; missing answers are told when the form is finished.
    pub problem: Option<String>,
    /// What the last round answered here.
    pub last_answer: Option<String>,
}

impl Filling {
    /// The language of messages that aren't the form's own: `zh` or `en`, by the language of its labels.
    pub fn screen_language(&self) -> &'static str {
        let language = self.session().language().to_lowercase();
        let chinese = language.contains("zh") || language.contains("chinese") || language.contains("中文");
        if chinese { "zh" } else { "en" }
    }

    /// The page in view; `None` for a form that shows nothing. When answers made the page in view irrelevant, the one before it
    /// is shown, else the first.
    pub fn screen(&self) -> Option<Screen> {
        let page = self.page_in_view()?;
        let session = self.session();
        let shown = session.page(page);
        let lines = shown.entries.into_iter().map(|entry| self.line(entry)).collect();
        Some(Screen {
            trail: shown.trail,
            lines,
            is_first: session.previous_page(page).is_none(),
            is_last: session.next_page(page).is_none(),
        })
    }

    fn page_in_view(&self) -> Option<PageId> {
        let session = self.session();
        let pages = session.pages();
        match self.page {
            Some(page) if pages.contains(&page) => Some(page),
            Some(page) => session.previous_page(page).or_else(|| pages.first().copied()),
            None => pages.first().copied(),
        }
    }

    fn line(&self, entry: Entry) -> Line {
        let (session, spot) = (self.session(), entry.spot);
        let is_question = matches!(entry.kind, EntryKind::Question(_));
        let problem = session.problem(spot).filter(|_| is_question && !entry.value.is_empty());
        Line {
            path: session.path(spot),
            choices: if is_question { session.choices(spot) } else { Vec::new() },
            guidance: session.guidance(spot),
            problem: problem.map(|kind| kind.message(self.screen_language())),
            last_answer: if is_question { self.last_answer(spot) } else { None },
            entry,
        }
    }

    /// Turns to the next page that applies; false at the end of the form.
    pub fn next_page(&mut self) -> bool {
        self.turn(|filling, page| filling.session().next_page(page))
    }

    /// Turns to the page before; false at its beginning.
    pub fn previous_page(&mut self) -> bool {
        self.turn(|filling, page| filling.session().previous_page(page))
    }

    fn turn(&mut self, to: impl Fn(&Self, PageId) -> Option<PageId>) -> bool {
        let found = self.page_in_view().and_then(|page| to(self, page));
        self.page = found.or(self.page);
        found.is_some()
    }

    /// Turns to the page that shows a place, or to the first one inside it; false where none does.
    pub fn go_to(&mut self, path: &str) -> bool {
        let found = self.session().at_path(path).and_then(|spot| self.page_at(spot));
        self.page = found.or(self.page);
        found.is_some()
    }

    fn page_at(&self, at: Spot) -> Option<PageId> {
        let session = self.session();
        let tree = session.model().tree();
        let depth = tree.depth(at.node);
        let inside = |page: &PageId| {
            let (PageId::Question(spot) | PageId::FieldList(spot) | PageId::AddInstance(spot)) = page;
            tree.chain(spot.node).contains(&at.node) && spot.rows.first(depth) == at.rows.first(depth)
        };
        session.page_of(at).or_else(|| session.pages().into_iter().find(inside))
    }

    /// A place by its path.
    ///
    /// # Errors
    /// When the form has no such place, or not any more.
    pub fn place(&self, path: &str) -> Result<Spot, PhoneError> {
        Ok(self.session().at_path(path).ok_or(Refusal::NoSuchPlace)?)
    }

    /// Answers the question at a place; see [`Filling::answer`].
    ///
    /// # Errors
    /// As there.
    pub fn answer_at(&mut self, path: &str, text: &str) -> Result<(), PhoneError> {
        self.answer(self.place(path)?, text).map(drop)
    }

    /// Adds an instance of the repeat at `path` (without index), and turns to its first page. Gives the instance's path.
    ///
    /// # Errors
    /// As [`Filling::add_instance`].
    pub fn add_at(&mut self, path: &str) -> Result<String, PhoneError> {
        let repeat = self.place(path)?;
        let around = self.session().model().tree().depth(repeat.node).saturating_sub(1);
        let (instance, _) = self.add_instance(repeat.node, repeat.rows.first(around))?;
        self.page = self.page_at(instance).or(self.page);
        Ok(self.session().path(instance))
    }

    /// Removes the repeat instance at `path`, as `/data/member[2]`.
    ///
    /// # Errors
    /// As [`Filling::remove_instance`].
    pub fn remove_at(&mut self, path: &str) -> Result<(), PhoneError> {
        self.remove_instance(self.place(path)?).map(drop)
    }
}
