//! What the person with the phone reads, Chinese and English, from `messages/phone.json`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::protocol::refused::BothLanguages;

static TEXTS: LazyLock<BTreeMap<String, BothLanguages>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../messages/phone.json")).unwrap_or_default());

/// A text in Chinese (`zh`, also `zh-CN`) or English; empty for an unknown id.
pub fn text(id: &str, language: &str) -> &'static str {
    find(id, language).unwrap_or_default()
}

/// A text that may not exist, such as the advice for an error's code.
pub fn find(id: &str, language: &str) -> Option<&'static str> {
    TEXTS.get(id).map(|t| t.in_language(language))
}

/// What a phone says that was reported lost and has erased itself.
pub fn wiped_text(language: &str) -> &'static str {
    text("wiped", language)
}

#[cfg(test)]
mod tests {
    use super::TEXTS;

    #[test]
    fn every_text_is_there_in_both_languages() {
        assert!(TEXTS.len() > 5);
        for (id, text) in TEXTS.iter() {
            assert!(text.zh.ends_with('。') && text.en.ends_with('.'), "{id}");
        }
    }
}
