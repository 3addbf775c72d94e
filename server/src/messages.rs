//! Texts for people, Chinese and English, from the message files in `messages/`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use doorstep_core::protocol::{UploadRefusal, refusal_text};
use serde::{Deserialize, Serialize};

/// A language of screens and messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// Chinese.
    #[default]
    Zh,
    /// English.
    En,
}

impl Language {
    /// `zh` or `en`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Zh => "zh",
            Self::En => "en",
        }
    }

    /// From `zh…` or `en…`.
    pub fn from_code(code: &str) -> Option<Self> {
        match code.get(..2) {
            Some("zh") => Some(Self::Zh),
            Some("en") => Some(Self::En),
            _ => None,
        }
    }
}

/// A text in both languages.
#[derive(Debug, Clone, Deserialize, Serialize, PartialEq, Eq)]
pub struct Text {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

impl Text {
    /// In a language.
    pub fn in_language(&self, language: Language) -> &str {
        match language {
            Language::Zh => &self.zh,
            Language::En => &self.en,
        }
    }
}

static ERRORS: LazyLock<BTreeMap<String, Text>> = LazyLock::new(|| load(include_str!("../messages/errors.json")));

/// Reads a message file; a broken one gives no texts, which its test shows.
pub fn load(file: &str) -> BTreeMap<String, Text> {
    serde_json::from_str(file).unwrap_or_default()
}

/// The message for an error code.
pub fn error(code: &str) -> Text {
    let missing = || Text { zh: code.to_owned(), en: code.to_owned() };
    if UploadRefusal::is_code(code) {
        let text = refusal_text(code);
        let both = |what: &str, advice: &str, gap: &str| format!("{what}{gap}{advice}");
        return Text { zh: both(&text.what.zh, &text.advice.zh, ""), en: both(&text.what.en, &text.advice.en, " ") };
    }
    ERRORS.get(code).cloned().unwrap_or_else(missing)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_error_messages_can_be_read_and_name_every_language() {
        assert!(super::ERRORS.len() > 10);
        assert!(super::ERRORS.values().all(|t| !t.zh.is_empty() && !t.en.is_empty()));
    }
}
