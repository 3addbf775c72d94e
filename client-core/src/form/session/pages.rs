//! Pages: one question each, or a field-list group as a whole; and the way through them.

use std::sync::Arc;

use super::Session;
use crate::form::definition::QuestionKind;
use crate::form::expression::{NodeId, NodeKind, Rows, Spot, Tree};
use crate::form::model::Detail;

/// Which page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PageId {
    /// One question or note.
    Question(Spot),
    /// A group or repeat instance with appearance `field-list`.
    FieldList(Spot),
    /// Whether there is one more instance of a repeat; the rows are those around the repeat.
    AddInstance(Spot),
}

/// What stands on a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Which page.
    pub id: PageId,
    /// Labels of the groups and repeats around it, outermost first.
    pub trail: Vec<Arc<str>>,
    /// What it shows, in order; only what applies.
    pub entries: Vec<Entry>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A question with this kind of answer.
    Question(QuestionKind),
    /// A text to read.
    Note,
    /// The heading of a group or repeat instance inside the page.
    Heading,
    /// A button for one more instance; the entry's rows are those around the repeat.
    AddInstance,
}

/// A line of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where it stands.
    pub spot: Spot,
    /// What it is.
    pub kind: EntryKind,
    /// The label, with answers in it.
    pub label: Arc<str>,
    /// The hint.
    pub hint: Option<Arc<str>>,
    /// The answer as text.
    pub value: Arc<str>,
    /// An answer must be given.
    pub required: bool,
    /// The answer can't be changed.
    pub read_only: bool,
    /// How to show it.
    pub appearance: Option<String>,
}

/// How far filling has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Questions with an answer, among those that apply.
    pub answered: usize,
    /// Questions that apply.
    pub questions: usize,
    /// Required questions without an answer.
    pub required_missing: usize,
}

impl Session {
    /// The pages that apply, in order.
    pub fn pages(&self) -> Vec<PageId> {
        self.all_pages().into_iter().filter(|(_, applies)| *applies).map(|(page, _)| page).collect()
    }

    /// The first page that applies.
    pub fn first_page(&self) -> Option<PageId> {
        self.pages().first().copied()
    }

    /// The page after this one, over those that apply; `None` at the end of the form.
    pub fn next_page(&self, from: PageId) -> Option<PageId> {
        let all = self.all_pages();
        let at = all.iter().position(|(page, _)| *page == from)?;
        all[at + 1..].iter().find(|(_, applies)| *applies).map(|(page, _)| *page)
    }

    /// The page before this one, over those that apply.
    pub fn previous_page(&self, from: PageId) -> Option<PageId> {
        let all = self.all_pages();
        let at = all.iter().position(|(page, _)| *page == from)?;
        all[..at].iter().rev().find(|(_, applies)| *applies).map(|(page, _)| *page)
    }

    /// The page that a place is shown on: for the way from a problem to its question.
    pub fn page_of(&self, spot: Spot) -> Option<PageId> {
        let tree = self.model.tree();
        let around = tree.chain(spot.node).into_iter().map(|n| {
            let depth = tree.depth(n);
            Spot { node: n, rows: spot.rows.first(depth) }
        });
        let list = around.into_iter().find(|s| self.is_field_list(s.node)).map(PageId::FieldList);
        list.or_else(|| self.model.is_shown(spot.node).then_some(PageId::Question(spot)))
    }

    /// What stands on a page.
    pub fn page(&self, id: PageId) -> Page {
        let mut entries = Vec::new();
        let spot = match id {
            PageId::Question(spot) => {
                self.add_leaf(spot, &mut entries);
                spot
            }
            PageId::FieldList(spot) => {
                self.add_children(spot, &mut entries);
                spot
            }
            PageId::AddInstance(spot) => {
                entries.push(self.entry(spot, EntryKind::AddInstance));
                spot
            }
        };
        let tree = self.model.tree();
        let chain = tree.chain(spot.node);
        let around = chain.iter().skip(1).take(chain.len().saturating_sub(2));
        let trail = around.map(|n| self.label(Spot { node: *n, rows: spot.rows.first(tree.depth(*n)) })).collect();
        Page { id, trail, entries }
    }

    /// How far filling has come.
    pub fn progress(&self) -> Progress {
        let mut progress = Progress { answered: 0, questions: 0, required_missing: 0 };
        for spot in self.leaf_spots() {
            if !self.asks(spot) {
                continue;
            }
            progress.questions += 1;
            let leaf = self.instance.leaf(&self.model, spot.node, spot.rows.as_slice());
            if leaf.is_some_and(|l| !l.value.is_blank()) {
                progress.answered += 1;
            } else if self.is_required(spot) {
                progress.required_missing += 1;
            }
        }
        progress
    }

    /// True for a question that is shown, applies and takes an answer.
    fn asks(&self, spot: Spot) -> bool {
        let takes = self.model.question(spot.node).is_some_and(|q| q.kind != QuestionKind::Note);
        takes && self.model.is_shown(spot.node) && !self.model.is_calculated(spot.node) && self.is_relevant(spot)
    }

    fn is_field_list(&self, node: NodeId) -> bool {
        let (Detail::Group(head) | Detail::Repeat(head)) = self.model.detail(node) else { return false };
        let words = head.appearance.as_deref().unwrap_or_default();
        node != Tree::ROOT && words.split_whitespace().any(|w| matches!(w, "field-list" | "table-list"))
    }

    fn all_pages(&self) -> Vec<(PageId, bool)> {
        let mut out = Vec::new();
        self.add_pages(Spot { node: Tree::ROOT, rows: Rows::NONE }, &mut out);
        out
    }

    fn add_pages(&self, at: Spot, out: &mut Vec<(PageId, bool)>) {
        for child in self.model.tree().children(at.node) {
            let spot = Spot { node: *child, rows: at.rows };
            match self.model.tree().kind(*child) {
                NodeKind::Leaf(_) => {
                    if self.model.is_shown(*child) {
                        out.push((PageId::Question(spot), self.is_relevant(spot)));
                    }
                }
                NodeKind::Group => self.add_block_pages(spot, out),
                NodeKind::Repeat => {
                    for row in 0..self.count(*child, at.rows) {
                        let rows = at.rows.with(u32::try_from(row).unwrap_or(u32::MAX));
                        self.add_block_pages(Spot { node: *child, rows }, out);
                    }
                    if self.can_grow(spot) {
                        out.push((PageId::AddInstance(spot), self.repeat_applies(spot)));
                    }
                }
            }
        }
    }

    fn add_block_pages(&self, spot: Spot, out: &mut Vec<(PageId, bool)>) {
        if self.is_field_list(spot.node) {
            out.push((PageId::FieldList(spot), self.shows_anything(spot)));
        } else {
            self.add_pages(spot, out);
        }
    }

    fn shows_anything(&self, spot: Spot) -> bool {
        let mut found = false;
        self.walk(spot, &mut |leaf| found |= self.model.is_shown(leaf.node) && self.is_relevant(leaf));
        found
    }

    fn can_grow(&self, repeat: Spot) -> bool {
        matches!(self.model.detail(repeat.node), Detail::Repeat(head) if !head.counted)
    }

    /// Whether a repeat applies, by what its next instance would be.
    pub(super) fn repeat_applies(&self, repeat: Spot) -> bool {
        if !self.instance.around(&self.model, repeat.node, repeat.rows.as_slice()) {
            return false;
        }
        let next = u32::try_from(self.count(repeat.node, repeat.rows)).unwrap_or(u32::MAX);
        let spot = Spot { node: repeat.node, rows: repeat.rows.with(next) };
        let code = self.model.standing(repeat.node).iter().filter_map(|v| self.model.vertices().get(*v as usize));
        let mut code = code.filter(|v| v.kind == crate::form::model::VertexKind::Relevance);
        code.next().is_none_or(|v| self.test(spot, crate::form::model::Role::Relevant, &v.code, None).unwrap_or(false))
    }

    fn add_children(&self, at: Spot, entries: &mut Vec<Entry>) {
        for child in self.model.tree().children(at.node) {
            let spot = Spot { node: *child, rows: at.rows };
            match self.model.tree().kind(*child) {
                NodeKind::Leaf(_) => self.add_leaf(spot, entries),
                NodeKind::Group => self.add_block(spot, entries),
                NodeKind::Repeat => {
                    for row in 0..self.count(*child, at.rows) {
                        let rows = at.rows.with(u32::try_from(row).unwrap_or(u32::MAX));
                        self.add_block(Spot { node: *child, rows }, entries);
                    }
                    if self.can_grow(spot) && self.repeat_applies(spot) {
                        entries.push(self.entry(spot, EntryKind::AddInstance));
                    }
                }
            }
        }
    }

    fn add_block(&self, spot: Spot, entries: &mut Vec<Entry>) {
        if !self.is_relevant(spot) {
            return;
        }
        let before = entries.len();
        entries.push(self.entry(spot, EntryKind::Heading));
        self.add_children(spot, entries);
        let (Detail::Group(head) | Detail::Repeat(head)) = self.model.detail(spot.node) else { return };
        if entries.len() == before + 1 || head.labels.is_empty() {
            entries.remove(before);
        }
    }

    fn add_leaf(&self, spot: Spot, entries: &mut Vec<Entry>) {
        let Some(question) = self.model.question(spot.node) else { return };
        if self.model.is_shown(spot.node) && self.is_relevant(spot) {
            let kind = match &question.kind {
                QuestionKind::Note => EntryKind::Note,
                kind => EntryKind::Question(kind.clone()),
            };
            entries.push(self.entry(spot, kind));
        }
    }

    fn entry(&self, spot: Spot, kind: EntryKind) -> Entry {
        let is_leaf = matches!(kind, EntryKind::Question(_) | EntryKind::Note);
        let appearance = match self.model.detail(spot.node) {
            Detail::Question(question) => question.appearance.clone(),
            Detail::Group(head) | Detail::Repeat(head) => head.appearance.clone(),
        };
        Entry {
            spot,
            label: self.label(spot),
            hint: self.hint(spot),
            value: if is_leaf { self.value(spot) } else { "".into() },
            required: is_leaf && self.is_required(spot),
            read_only: is_leaf && self.is_read_only(spot),
            appearance,
            kind,
        }
    }
}
