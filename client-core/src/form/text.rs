//! Texts in several languages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The language of an XLSForm column without `::language`.
pub const UNNAMED_LANGUAGE: &str = "default";

/// A text in several languages: language (as the form spells it) to text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LocalText(pub BTreeMap<String, String>);

impl LocalText {
    /// The text in `language`, else in `fallback`, else of the unnamed language, else any. `-` and blanks count as missing.
    pub fn get(&self, language: &str, fallback: &str) -> Option<&str> {
        [language, fallback, UNNAMED_LANGUAGE]
            .iter()
            .find_map(|l| self.in_language(l))
            .or_else(|| self.0.keys().find_map(|l| self.in_language(l)))
    }

    /// The text in exactly this language, if it is there and says something.
    pub fn in_language(&self, language: &str) -> Option<&str> {
        self.0.get(language).map(|t| t.trim()).filter(|t| !t.is_empty() && *t != "-")
    }

    /// True when no language has a text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<const N: usize> From<[(&str, &str); N]> for LocalText {
    fn from(texts: [(&str, &str); N]) -> Self {
        Self(texts.into_iter().map(|(l, t)| (l.to_owned(), t.to_owned())).collect())
    }
}
