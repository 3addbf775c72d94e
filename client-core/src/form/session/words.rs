//! Labels, hints and messages in the session's language, with answers in them.

use std::sync::Arc;

use super::Session;
use super::view::View;
use crate::form::expression::Spot;
use crate::form::model::{Detail, Part};
use crate::form::text::LocalText;

impl Session {
    /// The label of a question, group or repeat; its name where it has none.
    pub fn label(&self, spot: Spot) -> Arc<str> {
        let labels = match self.model.detail(spot.node) {
            Detail::Question(question) => &question.labels,
            Detail::Group(head) | Detail::Repeat(head) => &head.labels,
        };
        self.text(spot, labels).unwrap_or_else(|| self.model.tree().name(spot.node).into())
    }

    /// The hint of a question.
    pub fn hint(&self, spot: Spot) -> Option<Arc<str>> {
        self.text(spot, &self.model.question(spot.node)?.hints)
    }

    /// The longer guidance of a question.
    pub fn guidance(&self, spot: Spot) -> Option<Arc<str>> {
        self.text(spot, &self.model.question(spot.node)?.guidance)
    }

    /// The file name of a medium of a question: `image`, `big-image`, `audio`, `video`.
    pub fn medium(&self, spot: Spot, kind: &str) -> Option<&str> {
        let texts = self.model.question(spot.node)?.media.get(kind)?;
        texts.get(&self.around.language, &self.model.form().def().default_language)
    }

    /// The record's name by the form's setting `instance_name`, blank without one.
    pub fn instance_name(&self) -> Arc<str> {
        let setting = self.model.form().def().settings.get("instance_name").and_then(|n| n.as_str());
        let root = Spot { node: crate::form::expression::Tree::ROOT, rows: crate::form::expression::Rows::NONE };
        let code = setting.and_then(|text| {
            crate::form::expression::Parsed::new(text).ok()?.resolve(self.model.tree(), root.node).ok()
        });
        let view = View::new(self);
        let value = code.and_then(|code| code.evaluate(&view.context(root, None)).ok());
        value.map_or_else(|| "".into(), |v| v.to_answer(&view.env(&self.around.language)))
    }

    pub(super) fn constraint_message(&self, spot: Spot) -> String {
        let texts = self.model.question(spot.node).map(|q| &q.constraint_messages);
        texts.and_then(|t| self.text(spot, t)).map_or_else(String::new, |t| t.to_string())
    }

    pub(super) fn required_message(&self, spot: Spot) -> String {
        let texts = self.model.question(spot.node).map(|q| &q.required_messages);
        texts.and_then(|t| self.text(spot, t)).map_or_else(String::new, |t| t.to_string())
    }

    fn text(&self, spot: Spot, texts: &LocalText) -> Option<Arc<str>> {
        let text = texts.get(&self.around.language, &self.model.form().def().default_language)?;
        Some(self.interpolated(spot, text))
    }

    /// A text with the answers that it names.
    pub(super) fn interpolated(&self, spot: Spot, text: &str) -> Arc<str> {
        let Some(words) = self.model.words(spot.node, text) else { return text.into() };
        let view = View::new(self);
        let mut out = String::with_capacity(text.len());
        for part in &words.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Answer(code) => {
                    if let Ok(value) = code.evaluate(&view.context(spot, None)) {
                        out.push_str(&value.to_answer(&view.env(&self.around.language)));
                    }
                }
            }
        }
        out.into()
    }
}
