//! A reason that a page asks for: one of a list, and words of one's own.

use serde::Deserialize;

use super::shell::Shell;
use crate::service::audit::REASON_CHARS;

/// A reason as a form sends it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ReasonForm {
    /// The one of the list, as it is shown.
    #[serde(default)]
    pub why: String,
    /// In own words.
    #[serde(default)]
    pub more: String,
}

impl ReasonForm {
    /// Both in one; `None` where there is none, or more than the audit log takes.
    pub fn text(&self) -> Option<String> {
        let parts = [self.why.trim(), self.more.trim()];
        let text = parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("：");
        (!text.is_empty() && text.chars().count() <= REASON_CHARS).then_some(text)
    }
}

/// Reasons to look at masked answers.
pub fn to_look(shell: &Shell) -> Vec<&'static str> {
    vec![
        shell.t("masked.why_verify"),
        shell.t("masked.why_household"),
        shell.t("masked.why_compare"),
        shell.t("masked.why_payment"),
        shell.t("masked.why_inspection"),
    ]
}

/// Reasons to release or discard what wasn't accepted.
pub fn to_decide(shell: &Shell) -> Vec<&'static str> {
    vec![
        shell.t("decide.why_checked"),
        shell.t("decide.why_lost"),
        shell.t("decide.why_twice"),
        shell.t("decide.why_wrong"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_of_the_list_or_own_words_or_both_and_never_nothing() {
        let form = |why: &str, more: &str| ReasonForm { why: why.to_owned(), more: more.to_owned() }.text();
        assert_eq!(form("核实", "").as_deref(), Some("核实"));
        assert_eq!(form("", " 户主来电 ").as_deref(), Some("户主来电"));
        assert_eq!(form("核实", "户主来电").as_deref(), Some("核实：户主来电"));
        assert_eq!(form(" ", ""), None);
        assert_eq!(form("", &"长".repeat(REASON_CHARS + 1)), None);
    }
}
