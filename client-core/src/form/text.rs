//! Texts in several languages.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The language of an XLSForm column without `::language`.
pub const UNNAMED_LANGUAGE: &str = "default";

/// A text in several languages: language (as the form spells it) to text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LocalText(pub Texts);

/// Texts by language, in order of the languages. A few only, and very many of these in a form with long choice lists: so a
/// plain list, which takes a fifth of a tree's memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts(Vec<(String, String)>);

impl Texts {
    /// The text in a language.
    pub fn get(&self, language: &str) -> Option<&String> {
        let at = self.at(language).ok()?;
        self.0.get(at).map(|(_, text)| text)
    }

    /// True when there is an entry of this language.
    pub fn contains_key(&self, language: &str) -> bool {
        self.at(language).is_ok()
    }

    /// Sets the text in a language.
    pub fn insert(&mut self, language: String, text: String) {
        match self.at(&language) {
            Ok(at) => self.0[at].1 = text,
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (language, text));
            }
        }
    }

    /// Takes all away.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Languages and texts.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter().map(|(language, text)| (language, text))
    }

    /// The languages.
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.0.iter().map(|(language, _)| language)
    }

    /// The texts.
    pub fn values(&self) -> impl Iterator<Item = &String> {
        self.0.iter().map(|(_, text)| text)
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn at(&self, language: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(language))
    }
}

impl From<BTreeMap<String, String>> for Texts {
    fn from(texts: BTreeMap<String, String>) -> Self {
        Self(texts.into_iter().collect())
    }
}

impl Serialize for Texts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(Self::from)
    }
}

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
        Self(texts.into_iter().map(|(l, t)| (l.to_owned(), t.to_owned())).collect::<BTreeMap<_, _>>().into())
    }
}
