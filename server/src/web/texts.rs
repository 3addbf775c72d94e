//! The texts of the pages, from `messages/pages.json`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::messages::{self, Language, Text};

/// Stands where a text is missing; the test of the pages looks for it.
pub const MISSING: &str = "[[text missing]]";

pub(super) static PAGES: LazyLock<BTreeMap<String, Text>> =
    LazyLock::new(|| messages::load(include_str!("../../messages/pages.json")));

/// A text of the pages.
pub fn text(key: &str, language: Language) -> &'static str {
    find(key, language).unwrap_or(MISSING)
}

/// A text that may be missing, such as the one of a reason from a newer program.
pub fn find(key: &str, language: Language) -> Option<&'static str> {
    PAGES.get(key).map(|t| t.in_language(language))
}

/// A reason's code in plain words.
pub fn reason(code: &str, language: Language) -> &'static str {
    find(&format!("reason.{code}"), language).unwrap_or_else(|| text("reason.other", language))
}

/// Puts values into a text's `{name}` places, in one pass: a value with braces stays as it is.
pub fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let place = after.split_once('}').and_then(|(name, tail)| {
            let value = values.iter().find(|(n, _)| *n == name)?.1;
            Some((value, tail))
        });
        match place {
            Some((value, tail)) => {
                out.push_str(value);
                rest = tail;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn a_value_with_braces_is_not_filled_again() {
        let filled = fill("{a} and {b} {c", &[("a", "{b}"), ("b", "2")]);
        assert_eq!(filled, "{b} and 2 {c");
    }
}
