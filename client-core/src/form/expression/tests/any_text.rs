use super::super::date::{civil_from_days, days_from_civil};
use super::super::value::{number_to_text, text_to_number};
use super::*;
use proptest::prelude::*;

/// Text that looks like an expression, so that most of it gets past the parser.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("${age}".to_owned()),
        Just("${name}".to_owned()),
        Just("${day}".to_owned()),
        Just("${income}".to_owned()),
        Just("/data/member".to_owned()),
        Just("../../member/age".to_owned()),
        Just("instance('villages')/root/item/name".to_owned()),
        Just("today()".to_owned()),
        Just("now()".to_owned()),
        Just("position(..)".to_owned()),
        Just(".".to_owned()),
        Just("''".to_owned()),
        "'[a-z0-9 :T%Y.-]{0,12}'",
        "[0-9]{1,12}(\\.[0-9]{0,6})?",
    ];
    let function = prop::sample::select(vec![
        "if",
        "coalesce",
        "concat",
        "join",
        "substr",
        "round",
        "int",
        "selected",
        "selected-at",
        "count",
        "sum",
        "max",
        "date",
        "format-date",
        "decimal-time",
        "regex",
        "translate",
        "pow",
        "digest",
        "area",
        "distance",
        "checklist",
        "randomize",
        "string-length",
        "not",
        "number",
        "once",
        "count-selected",
        "substring",
        "weighted-checklist",
        "base64-decode",
    ]);
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let operator = prop::sample::select(vec!["+", "-", "*", "div", "mod", "=", "!=", "<", ">=", "and", "or"]);
        let call = (function.clone(), prop::collection::vec(inner.clone(), 0..4));
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            call.prop_map(|(f, args)| format!("{f}({})", args.join(", "))),
            inner.clone().prop_map(|e| format!("-{e}")),
            inner.prop_map(|e| format!("${{member}}[{e}]/age")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gives_a_value_or_an_error_within_it(source in "\\PC{0,60}") {
        if let Err(error) = evaluate(&answers(&household()), &source) {
            prop_assert!(error.offset <= source.len() && source.is_char_boundary(error.offset));
        }
    }

    #[test]
    fn anything_like_an_expression_gives_the_same_value_or_error_again(source in expression()) {
        let answers = answers(&household());
        let (first, second) = (evaluate(&answers, &source), evaluate(&answers, &source));
        prop_assert_eq!(format!("{first:?}"), format!("{second:?}"));
        if let Ok(value) = first {
            let _ = (value.to_text(OFFSET_MINUTES), value.to_number(OFFSET_MINUTES), value.to_bool());
        }
    }

    #[test]
    fn any_pattern_compiles_or_is_refused(pattern in "[a-z0-9\\[\\]\\\\(){}?*+.^$|&~:dDwpP-]{0,16}") {
        let context = json!({"p": pattern});
        let _ = evaluate(&answers(&context), "regex('abc-123', ${p})");
    }

    #[test]
    fn days_and_dates_turn_into_each_other(day in -1_000_000_i64..1_000_000) {
        let (year, month, date) = civil_from_days(day);
        prop_assert_eq!(days_from_civil(year, month, date), day);
        let next = civil_from_days(day + 1);
        prop_assert!(next == (year, month, date + 1) || next == (year, month + 1, 1) || next == (year + 1, 1, 1));
    }

    #[test]
    fn a_number_printed_is_read_as_the_same_number(n in -1e15_f64..1e15) {
        let n = (n * 1000.0).round() / 1000.0;
        prop_assert!((text_to_number(&number_to_text(n)) - n).abs() < 1e-9);
    }

    #[test]
    fn rounding_to_more_places_never_moves_further_away(n in -1e6_f64..1e6, places in 0_u32..6) {
        let round = |places: u32| {
            let rounded = evaluate(&answers(&Json::Null), &format!("round({n}, {places})")).unwrap();
            rounded.to_number(0)
        };
        let away = |places: u32| (round(places) - n).abs();
        prop_assert!(away(places) <= 0.5 * 10_f64.powi(-(places as i32)) + 1e-9);
        prop_assert!(away(places + 1) <= away(places) + 1e-9);
    }
}
