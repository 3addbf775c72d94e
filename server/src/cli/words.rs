//! What commands answer, in the language that is asked for; errors in both.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::LazyLock;

use clap::Args;

use crate::messages::{self, Language, Text};
use crate::say;
use crate::service::erasure::EraseError;
use crate::service::grants::GrantError;
use crate::web::texts::{MISSING, fill};

static TEXTS: LazyLock<BTreeMap<String, Text>> =
    LazyLock::new(|| messages::load(include_str!("../../messages/commands.json")));

fn text(key: &str, language: Language) -> &'static str {
    TEXTS.get(key).map_or(MISSING, |text| text.in_language(language))
}

/// The language of a command's answers.
#[derive(Args, Debug, Clone, Copy)]
pub struct Words {
    /// The language of what is printed: zh or en.
    #[arg(long, global = true, env = "DOORSTEP_LANGUAGE", default_value = "zh", value_parser = language)]
    language: Language,
}

fn language(code: &str) -> Result<Language, String> {
    Language::from_code(code).ok_or_else(|| "zh or en".to_owned())
}

impl Words {
    /// A text.
    pub fn text(self, key: &str) -> &'static str {
        text(key, self.language)
    }

    /// A text with values in its places.
    pub fn fill(self, key: &str, values: &[(&str, &str)]) -> String {
        fill(self.text(key), values)
    }

    /// Prints a text with values in its places.
    pub fn say(self, key: &str, values: &[(&str, &str)]) {
        say!("{}", self.fill(key, values));
    }
}

/// A fault of what was asked, by the key of its words.
#[derive(Debug, thiserror::Error)]
#[error("{}", text(.0, Language::En))]
pub struct Fault(pub &'static str);

/// The Chinese words of an error whose display is the English ones; `None` where it has none.
pub fn in_chinese(error: &(dyn Error + 'static)) -> Option<String> {
    let (key, role) = if let Some(Fault(key)) = error.downcast_ref() {
        (*key, "")
    } else if let Some(error) = error.downcast_ref::<GrantError>() {
        of_grant(error)?
    } else {
        (of_erasure(error.downcast_ref()?)?, "")
    };
    Some(fill(text(key, Language::Zh), &[("role", role)]))
}

fn of_grant(error: &GrantError) -> Option<(&'static str, &str)> {
    Some(match error {
        GrantError::UnknownRole(role) => ("error.unknown_role", role),
        GrantError::UnknownArea => ("error.unknown_area", ""),
        GrantError::UnknownHousehold => ("error.unknown_household", ""),
        GrantError::UnknownUser => ("error.unknown_user", ""),
        GrantError::UnknownGrant => ("error.unknown_grant", ""),
        GrantError::StandIn => ("error.stand_in", ""),
        GrantError::Over => ("error.over", ""),
        GrantError::NoName => ("error.no_name", ""),
        GrantError::Circle => ("error.circle", ""),
        _ => return None,
    })
}

fn of_erasure(error: &EraseError) -> Option<&'static str> {
    Some(match error {
        EraseError::Household => "error.unknown_household",
        EraseError::Elsewhere => "error.elsewhere",
        EraseError::Member => "error.no_member",
        EraseError::SeveralMembers => "error.several_members",
        EraseError::Ground => "error.no_ground",
        EraseError::Also => "error.also",
        _ => return None,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may stop at the first surprise")]
mod tests {
    use super::*;

    /// The commands whose answers stand in the message file.
    const SOURCES: [&str; 9] = [
        include_str!("words.rs"),
        include_str!("area.rs"),
        include_str!("device.rs"),
        include_str!("duplicates.rs"),
        include_str!("erase.rs"),
        include_str!("figures.rs"),
        include_str!("grant.rs"),
        include_str!("quarantine.rs"),
        include_str!("role.rs"),
    ];

    #[test]
    fn every_answer_of_these_commands_is_in_the_file_in_both_languages_with_the_same_places() {
        assert!(TEXTS.len() > 80);
        for (key, text) in TEXTS.iter() {
            let places = |text: &str| {
                let mut names: Vec<String> =
                    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.to_owned())).collect();
                names.sort_unstable();
                names.dedup();
                names
            };
            assert_eq!(places(&text.zh), places(&text.en), "{key}");
            assert!(SOURCES.iter().any(|source| source.contains(&format!("\"{key}\""))), "{key} is used");
        }
        for source in SOURCES {
            let keys = source.split('"').filter(|part| {
                let (group, name) = part.split_once('.').unwrap_or_default();
                let is_word =
                    |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                TEXTS.keys().any(|key| key.starts_with(&format!("{group}."))) && is_word(name) && name != "rs"
            });
            for key in keys {
                assert!(TEXTS.contains_key(key), "{key} has no words");
            }
        }
    }

    #[test]
    fn an_error_has_chinese_words_beside_its_english_ones() {
        let error = GrantError::UnknownRole("mayor".into());
        assert_eq!(in_chinese(&error).unwrap(), "没有角色“mayor”；doorstep role list 列出全部角色");
        assert_eq!(Fault("error.day").to_string(), "a day looks like 2026-12-31");
        assert!(in_chinese(&Fault("error.day")).unwrap().contains("2026-12-31"));
        assert!(in_chinese(&std::io::Error::other("x")).is_none());
    }
}
