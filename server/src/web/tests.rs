//! Renders every page in both languages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

use askama::Template;

use super::shell::{ErrorPage, Shell};
use super::texts::{self, MISSING};
use super::{
    audit, differences, doubts, duplicates, figure_list, figures, frozen, households, join, overview, phones,
    quarantine, record, sign_in, visits,
};
use crate::messages::Language;
use crate::service::audit::Action;

const LANGUAGES: [Language; 2] = [Language::Zh, Language::En];

fn every_page(language: Language) -> Vec<(&'static str, String)> {
    let error = ErrorPage { shell: Shell::sample("", language), message: "<script>".to_owned() };
    vec![
        ("overview", overview::OverviewPage::sample(language).render().unwrap()),
        ("households", households::HouseholdsPage::sample(language).render().unwrap()),
        ("record", record::sample(language).render().unwrap()),
        ("hidden record", record::RecordView { hidden: true, ..record::sample(language) }.render().unwrap()),
        ("figures", figures::FiguresPage::sample(language).render().unwrap()),
        ("figure list", figure_list::FigureListPage::sample(language).render().unwrap()),
        ("frozen report", frozen::FrozenPage::sample(language).render().unwrap()),
        ("visits", visits::VisitsPage::sample(language).render().unwrap()),
        ("differences", differences::DifferencesPage::sample(language).render().unwrap()),
        ("duplicates", duplicates::DuplicatesPage::sample(language).render().unwrap()),
        ("doubts", doubts::DoubtsPage::sample(language).render().unwrap()),
        ("phones", phones::PhonesPage::sample(language).render().unwrap()),
        ("quarantine", quarantine::QuarantinePage::sample(language).render().unwrap()),
        ("audit", audit::AuditPage::sample(language).render().unwrap()),
        ("join", join::JoinPage::sample(language).render().unwrap()),
        ("sign-in", sign_in::SignInPage::sample(language).render().unwrap()),
        ("error", error.render().unwrap()),
    ]
}

#[test]
fn every_page_has_all_its_texts_in_both_languages_and_escapes_answers() {
    for language in LANGUAGES {
        for (name, html) in every_page(language) {
            assert!(!html.contains(MISSING), "{name} in {language:?} lacks a text:\n{html}");
            assert!(!html.contains("<script"), "{name} doesn't escape");
            assert!(!html.contains(" style="), "{name} has a style that the content security policy forbids");
            assert!(html.contains(&format!("<html lang=\"{}\">", Shell::sample("", language).lang())), "{name}");
        }
    }
}

#[test]
fn english_pages_have_no_chinese_but_names_and_the_language_switch() {
    let chinese = |c: char| ('\u{3000}'..='\u{9fff}').contains(&c) || ('\u{ff00}'..='\u{ffef}').contains(&c);
    let names = ["青石乡", "石桥村", "柳树村", "合计", "中文", "张三", "李四", "王五", "赵六", "王", "红梅"];
    for (name, mut html) in every_page(Language::En) {
        for known in names {
            html = html.replace(known, "");
        }
        let left: String = html.chars().filter(|c| chinese(*c)).collect();
        assert!(left.is_empty(), "{name}: {left}");
    }
}

fn pages_sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for folder in ["templates", "src/web"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            sources.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(sources.len() > 15);
    sources
}

#[test]
fn every_text_that_a_page_asks_for_exists_and_every_text_is_used() {
    let sources = pages_sources();
    let mut asked = BTreeSet::new();
    for (name, source) in &sources {
        for call in ["t(\"", "fill(\""] {
            for rest in source.split(call).skip(1) {
                let key = rest.split('"').next().unwrap();
                if key.contains('.') && key.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '.' | '_')) {
                    assert!(texts::PAGES.contains_key(key), "{name} asks for {key}");
                    asked.insert(key.to_owned());
                }
            }
        }
    }
    assert!(asked.len() > 80);
    for (key, text) in texts::PAGES.iter() {
        assert!(!text.zh.is_empty() && !text.en.is_empty(), "{key}");
        let quoted = format!("\"{key}\"");
        let looked_up =
            ["reason.", "error.", "duplicates.", "audit.action.", "audit.actor.", "audit.about.", "audit.detail."]
                .iter()
                .any(|start| key.starts_with(start));
        assert!(looked_up || sources.iter().any(|(_, s)| s.contains(&quoted)), "no page uses {key}");
    }
}

#[test]
fn the_record_page_shows_each_side_of_a_difference_with_who_and_both_times() {
    let html = record::sample(Language::Zh).render().unwrap();
    for text in [
        "脱贫户",
        "边缘户",
        "张三",
        "李四",
        "填写时间(手机)",
        "收到时间",
        "2020-06-01 08:00",
        "2020-06-02 20:30",
        "aaaaaa",
    ] {
        assert!(html.contains(text), "{text} is missing:\n{html}");
    }
    let english = record::sample(Language::En).render().unwrap();
    assert!(english.contains("Marginal") || english.contains("marginal"));
}

#[test]
fn sensitive_and_unknown_answers_are_masked_even_in_a_core_record() {
    for language in LANGUAGES {
        let html = record::sample(language).render().unwrap();
        assert!(!html.contains("999999199001010017"), "an ID number is shown");
        assert!(!html.contains("13800000000"), "a telephone number is shown");
        assert!(!html.contains("from another version"), "an unknown answer is shown");
        assert!(html.contains(Shell::sample("", language).t("answer.hidden")));
    }
}

#[test]
fn every_reason_of_the_server_has_words_of_its_own() {
    let merge = include_str!("../service/merge.rs");
    let refusal = include_str!("../../../client-core/src/record/refusal.rs");
    let mut codes: BTreeSet<&str> = BTreeSet::new();
    codes.extend(refusal.lines().filter_map(|l| l.trim().split_once(", \"")?.1.split('"').next()));
    for marker in [
        "State::Quarantined, \"",
        "State::Equivocation, \"",
        "refuse_all(frame, \"",
        "refuse_all(named, \"",
        "return Some(\"",
        "then_some(\"",
        "=> Some(\"",
    ] {
        codes.extend(merge.split(marker).skip(1).filter_map(|rest| rest.split('"').next()));
    }
    assert!(codes.len() > 30, "{codes:?}");
    for code in codes {
        for language in LANGUAGES {
            let shell = Shell::sample("", language);
            let text = quarantine::reason_text(&shell, code);
            assert_ne!(text, shell.t("reason.other"), "no words for {code}");
            assert!(text.ends_with(['。', '.']), "{code}: {text}");
        }
    }
}

#[test]
fn every_kind_of_entry_in_the_audit_log_has_words_of_its_own() {
    for language in LANGUAGES {
        let shell = Shell::sample("", language);
        let words: BTreeSet<String> = Action::ALL.iter().map(|a| audit::kind_text(&shell, a.code())).collect();
        assert_eq!(words.len(), Action::ALL.len());
        assert!(Action::ALL.iter().all(|a| !words.contains(a.code())));
    }
}
