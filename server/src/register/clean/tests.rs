#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use super::*;

#[test]
fn full_width_digits_and_letters_become_plain_and_chinese_signs_stay() {
    assert_eq!(tidy("　１２３ＡＢ，四组（东）\u{200b}"), "123AB，四组（东）");
    assert_eq!(code(" '９９９９ 99 "), "999999");
    assert_eq!(code("=\"0012\""), "0012");
}

#[test]
fn wide_and_invisible_spaces_leave_a_chinese_name_and_one_stays_in_a_latin_one() {
    assert_eq!(name("张　三\u{200b}"), "张三");
    assert_eq!(name(" 王 \u{a0}小 明\t"), "王小明");
    assert_eq!(name("John   Smith"), "John Smith");
}

#[test]
fn middle_dots_become_one_kind() {
    for written in ["吉克•阿牛", "吉克・阿牛", "吉克‧阿牛", "吉克 · 阿牛", "吉克.阿牛", "吉克．阿牛"]
    {
        assert_eq!(name(written), "吉克·阿牛", "{written}");
    }
    assert_eq!(name("A. Smith"), "A. Smith");
}

#[test]
fn rare_characters_stay_and_signs_for_lost_ones_are_noticed() {
    assert_eq!(name("王 䶮"), "王䶮");
    assert_eq!(name("李\u{2cb4e}"), "李\u{2cb4e}");
    assert!(!has_lost_character("王䶮\u{2cb4e}"));
    for lost in ["王?", "王？", "王□", "王\u{fffd}", "王\u{e863}"] {
        assert!(has_lost_character(lost), "{lost}");
    }
}

#[test]
fn dates_are_read_as_offices_write_them() {
    for written in [
        "2020.6.1",
        "2020/6/1",
        "2020-06-01",
        "2020年6月1日",
        "20200601",
        "2020-06-01 00:00:00",
        "２０２０．６．１",
        "43983",
        " 2020年06月01号",
        "2020-06-01T00:00:00",
    ] {
        assert_eq!(date(written).as_deref(), Ok("2020-06-01"), "{written}");
    }
    for no_day in ["2020.6", "2020年6月", "202006", "2020", "2020年"] {
        assert_eq!(date(no_day), Err(DateFault::NoDay), "{no_day}");
    }
    for wrong in ["2020.2.30", "2020-13-01", "不详", "6/1", "20201301", "1.2.3.4", "999999"] {
        assert_eq!(date(wrong), Err(DateFault::Malformed), "{wrong}");
    }
    assert_eq!(date("60000"), Err(DateFault::Malformed));
    assert_eq!(date("36526").as_deref(), Ok("2000-01-01"));
    assert_eq!(date("44255").as_deref(), Ok("2021-02-28"));
}

#[test]
fn an_id_number_shown_as_a_fraction_has_lost_its_digits() {
    assert_eq!(id_number("3.7E+17", false), Err(IdFault::DigitsLost));
    assert_eq!(id_number("9.99999E+17", false), Err(IdFault::DigitsLost));
    assert_eq!(id_number("999999198002290000", true), Err(IdFault::DigitsLost));
    assert_eq!(id_number("999999198002291000", false), Err(IdFault::DigitsLost));
    assert!(!is_exponential("E12") && !is_exponential("12") && !is_exponential("3E") && is_exponential("1e18"));
}

#[test]
fn an_id_number_is_checked_and_a_small_x_becomes_a_capital_one() {
    let id = |body: &str| format!("{body}{}", check_digit(body));
    let good = id("99999919800229001");
    assert_eq!(id_number(&good, false), Ok(good.clone()));
    let with_x = (0..99).map(|n| id(&format!("999999198002290{n:02}"))).find(|i| i.ends_with('X')).unwrap();
    assert_eq!(id_number(&with_x.to_lowercase(), false), Ok(with_x));
    let wide: String = good.chars().map(|c| char::from_u32(c as u32 + 0xFEE0).unwrap()).collect();
    assert_eq!(id_number(&wide, false), Ok(good.clone()));
    let last = if good.ends_with('1') { '2' } else { '1' };
    assert_eq!(id_number(&format!("{}{last}", &good[..17]), false), Err(IdFault::Check));
    assert_eq!(id_number("999999800229001", false), Err(IdFault::Old));
    for wrong in ["9999991980022900", "无", "99999919800229001XX", "九", "9999991980022900é"] {
        assert_eq!(id_number(wrong, false), Err(IdFault::Malformed), "{wrong}");
    }
    assert_eq!(id_number(&id("99999919810229001"), false), Err(IdFault::Birthday), "1981 had no 29 February");
    assert_eq!((birth_of_id(&good).as_deref(), is_male_id(&good)), (Some("1980-02-29"), Some(true)));
    assert_ne!(id_key(&good), id_key(&id("99999919800229003")));
}

#[test]
fn numbers_lose_units_and_thousands_separators_only_where_these_are_right() {
    for (written, number_) in [
        ("12,345.60元", 12345.6),
        ("１２３４", 1234.0),
        ("1，234", 1234.0),
        ("1.2万元", 12000.0),
        ("￥300", 300.0),
        ("8个月", 8.0),
        ("2019年", 2019.0),
        ("-5", -5.0),
        ("0", 0.0),
    ] {
        assert_eq!(number(written), Some(number_), "{written}");
    }
    for wrong in ["12,34", "1,2345", "三百", "", "元", "1.2.3", "1e5", "inf", "NaN", "9999999999999999999"] {
        assert_eq!(number(wrong), None, "{wrong}");
    }
}

#[test]
fn headers_are_compared_without_stars_spaces_and_kinds_of_brackets() {
    assert_eq!(compared(" *身份证 号码（必填）："), "身份证号码(必填)");
    assert_eq!(without_brackets("身份证号码(必填)"), "身份证号码");
    assert_eq!(without_brackets("(1)"), "(1)");
}

#[test]
fn groups_are_known_by_their_number() {
    for written in ["3组", "第三组", "三社", "03", "３村民小组", "三组"] {
        assert_eq!(group_number(written), Some(3), "{written}");
    }
    assert_eq!((group_number("十二组"), group_number("二十组"), group_number("河边组")), (Some(12), Some(20), None));
}
