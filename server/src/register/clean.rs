//! What offices' spreadsheets do to texts, numbers, dates and ID numbers, undone. Pure functions; none of them guesses.

use doorstep_core::form::check::days_in_month;

/// Full-width letters, digits and signs as plain ones; unusual spaces plain, invisible signs gone; no spaces at the ends.
pub fn tidy(text: &str) -> String {
    if text.bytes().all(|b| (b' '..0x7f).contains(&b)) {
        return text.trim().to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{3000}' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\t' => out.push(' '),
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{feff}' | '\u{ad}' | '\0' => {}
            '０'..='９' | 'Ａ'..='Ｚ' | 'ａ'..='ｚ' | '．' | '－' | '／' | '＋' | '＃' => {
                out.push(char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c));
            }
            '\r' => {}
            c if c.is_control() && c != '\n' => {}
            c => out.push(c),
        }
    }
    out.trim().to_owned()
}

/// True for Chinese characters, rare ones included.
fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// True for the signs that people type between the parts of a name.
fn is_middle_dot(c: char) -> bool {
    matches!(c, '·' | '•' | '・' | '･' | '‧' | '∙' | '⋅' | '●' | '．' | '᛫')
}

/// A person's name: no spaces inside a Chinese one, one kind of middle dot.
pub fn name(text: &str) -> String {
    let dotted: String = text.chars().map(|c| if is_middle_dot(c) { '·' } else { c }).collect();
    let tidy = tidy(&dotted);
    let words: Vec<&str> = tidy.split_whitespace().collect();
    let joined = words.join(if tidy.chars().any(is_han) { "" } else { " " });
    let chars: Vec<char> = joined.chars().collect();
    // a full stop between two Chinese characters is a middle dot, too
    let dot = |at: usize| {
        chars[at] == '.'
            && at.checked_sub(1).and_then(|before| chars.get(before)).is_some_and(|c| is_han(*c))
            && chars.get(at + 1).is_some_and(|c| is_han(*c))
    };
    (0..chars.len()).map(|at| if dot(at) { '·' } else { chars[at] }).collect()
}

/// True where a program put a sign for a character that it couldn't write.
pub fn has_lost_character(text: &str) -> bool {
    text.chars().any(|c| matches!(c, '?' | '？' | '\u{fffd}' | '□' | '■' | '\u{e000}'..='\u{f8ff}'))
}

/// A number that names something: no spaces, no leading apostrophe or `="…"` by which people keep it a text.
pub fn code(text: &str) -> String {
    let tidy = tidy(text);
    let inner = tidy.strip_prefix("=\"").and_then(|t| t.strip_suffix('"')).unwrap_or(&tidy);
    inner.trim_start_matches(['\'', '‘', '’', '`']).chars().filter(|c| !c.is_whitespace()).collect()
}

/// True for `3.7E+17`: a spreadsheet showed a long number as a fraction, and its last digits are lost.
pub fn is_exponential(text: &str) -> bool {
    let Some((digits, exponent)) = text.split_once(['E', 'e']) else { return false };
    let whole =
        digits.chars().all(|c| c.is_ascii_digit() || c == '.') && digits.starts_with(|c: char| c.is_ascii_digit());
    let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
    whole && !exponent.is_empty() && exponent.len() <= 3 && exponent.bytes().all(|b| b.is_ascii_digit())
}

/// What is wrong with an ID number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdFault {
    /// Shown as `3.7E+17`, or stored as a number: the last digits are gone.
    DigitsLost,
    /// 15 digits, as until 2004.
    Old,
    /// Not 18 characters, or others than digits and a last X.
    Malformed,
    /// The check digit doesn't fit.
    Check,
    /// The birthday in it doesn't exist.
    Birthday,
}

/// An ID number of 18 characters with its check digit.
pub fn id_number(text: &str, stored_as_number: bool) -> Result<String, IdFault> {
    let id = code(text).to_ascii_uppercase();
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if is_exponential(&id) || (stored_as_number && id.len() > 15) {
        return Err(IdFault::DigitsLost);
    }
    if id.len() == 15 && digits(&id) {
        return Err(IdFault::Old);
    }
    let Some((body, last)) = id.get(..17).zip(id.get(17..)) else { return Err(IdFault::Malformed) };
    if !digits(body) || last.len() != 1 || !(digits(last) || last == "X") {
        return Err(IdFault::Malformed);
    }
    if !last.starts_with(check_digit(body)) {
        // what Excel leaves of 18 digits ends with three zeros
        return Err(if id.ends_with("000") { IdFault::DigitsLost } else { IdFault::Check });
    }
    birth_of_id(&id).map(|_| id.clone()).ok_or(IdFault::Birthday)
}

/// The check digit of an ID number's first 17 digits (GB 11643).
fn check_digit(body: &str) -> char {
    let sum = body.bytes().fold(0, |sum, b| ((sum + u32::from(b.wrapping_sub(b'0'))) * 2) % 11);
    match (12 - sum) % 11 {
        10 => 'X',
        n => char::from_digit(n, 10).unwrap_or('0'),
    }
}

/// The birthday that stands in an ID number, `YYYY-MM-DD`.
pub fn birth_of_id(id: &str) -> Option<String> {
    let part = |from: usize, to: usize| id.get(from..to)?.parse::<u32>().ok();
    day(part(6, 10)?, part(10, 12)?, part(12, 14)?)
}

/// Whether an ID number is a man's.
pub fn is_male_id(id: &str) -> Option<bool> {
    id.as_bytes().get(16).map(|b| b % 2 == 1)
}

/// An ID number as a number, by which sets of them take little room.
pub fn id_key(id: &str) -> Option<u64> {
    let body: u64 = id.get(..17)?.parse().ok()?;
    let last = id.get(17..)?.chars().next()?.to_digit(10).map_or(10, u64::from);
    Some(body * 11 + last)
}

/// What is wrong with a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateFault {
    /// Not a date, or one that doesn't exist.
    Malformed,
    /// Year and month without day.
    NoDay,
}

/// A date as `YYYY-MM-DD`: from `2020.6.1`, `2020/6/1`, `2020-6-1`, `2020年6月1日`, `20200601`, `2020-06-01 00:00:00`, or the days since
/// 1900 that a spreadsheet counts.
pub fn date(text: &str) -> Result<String, DateFault> {
    let text = tidy(text);
    let text = code(text.split(['T', ' ']).next().unwrap_or_default());
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return digits_date(&text);
    }
    let numbers: Vec<&str> = text
        .split(['.', '/', '-', '年', '月', '日', '号', '。', '、', '—', '–'])
        .filter(|part| !part.is_empty())
        .collect();
    if !numbers.iter().all(|n| n.len() <= 4 && n.bytes().all(|b| b.is_ascii_digit())) {
        return Err(DateFault::Malformed);
    }
    let number = |at: usize| numbers.get(at).and_then(|n| n.parse::<u32>().ok());
    match (number(0), number(1), number(2), numbers.len()) {
        (Some(year), Some(month), Some(of_month), 3) => day(year, month, of_month).ok_or(DateFault::Malformed),
        (Some(1900..=2100), Some(1..=12), None, 2) => Err(DateFault::NoDay),
        (Some(1900..=2100), None, None, 1) => Err(DateFault::NoDay),
        _ => Err(DateFault::Malformed),
    }
}

fn digits_date(text: &str) -> Result<String, DateFault> {
    let part = |from: usize, to: usize| text.get(from..to).and_then(|t| t.parse::<u32>().ok()).unwrap_or(0);
    match text.len() {
        8 => day(part(0, 4), part(4, 6), part(6, 8)).ok_or(DateFault::Malformed),
        6 if (1900..=2100).contains(&part(0, 4)) && (1..=12).contains(&part(4, 6)) => Err(DateFault::NoDay),
        4 if (1900..=2100).contains(&part(0, 4)) => Err(DateFault::NoDay),
        // 1927-05-18 to 2064-04-08; smaller numbers could be years
        5 => serial_date(part(0, 5)).ok_or(DateFault::Malformed),
        _ => Err(DateFault::Malformed),
    }
}

/// Days since 1899-12-30, as spreadsheets count after February 1900.
fn serial_date(serial: u32) -> Option<String> {
    if !(10_000..60_000).contains(&serial) {
        return None;
    }
    let (mut year, mut rest) = (1900, serial - 2);
    loop {
        let days = if days_in_month(year, 2) == 29 { 366 } else { 365 };
        if rest < days {
            break;
        }
        rest -= days;
        year += 1;
    }
    let mut month = 1;
    while rest >= days_in_month(year, month) {
        rest -= days_in_month(year, month);
        month += 1;
    }
    day(year, month, rest + 1)
}

fn day(year: u32, month: u32, day: u32) -> Option<String> {
    let exists =
        (1850..=2200).contains(&year) && (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    exists.then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// A number: without unit, thousands separators and currency sign; `万` counts.
pub fn number(text: &str) -> Option<f64> {
    let text = code(text).replace('，', ",");
    let text = text.trim_start_matches(['¥', '￥', '约']);
    const UNITS: [&str; 12] = ["元整", "元", "块", "个月", "月", "年", "人", "岁", "周岁", "亩", "平方米", "㎡"];
    let (text, factor) = match text.strip_suffix("万元").or_else(|| text.strip_suffix('万')) {
        Some(rest) => (rest, 10_000.0),
        None => (UNITS.iter().find_map(|unit| text.strip_suffix(unit)).unwrap_or(text), 1.0),
    };
    let (sign, text) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    let plain = if text.contains(',') { without_thousands(text)? } else { text.to_owned() };
    let signs = plain.bytes().all(|b| b.is_ascii_digit() || b == b'.') && plain.bytes().any(|b| b.is_ascii_digit());
    if !signs || plain.len() > 18 {
        return None;
    }
    let number: f64 = plain.parse().ok()?;
    // hundredths of a yuan at most get lost in 万
    Some(sign * if factor > 1.0 { (number * factor * 100.0).round() / 100.0 } else { number })
}

/// `1,234,567.8` without its commas; `None` where they stand elsewhere.
fn without_thousands(text: &str) -> Option<String> {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(w, f)| (w, Some(f)));
    let mut groups = whole.split(',');
    let first = groups.next().filter(|g| (1..=3).contains(&g.len()))?;
    let rest: Vec<&str> = groups.collect();
    if rest.iter().any(|g| g.len() != 3) || fraction.is_some_and(|f| f.contains(',')) {
        return None;
    }
    let whole = format!("{first}{}", rest.concat());
    Some(fraction.map_or(whole.clone(), |f| format!("{whole}.{f}")))
}

/// A label or header in the form in which it is compared: tidy, lower case, without spaces, stars and quotes, brackets plain.
pub fn compared(text: &str) -> String {
    let tidy = tidy(text);
    let plain =
        tidy.chars().filter(|c| !c.is_whitespace() && !matches!(c, '*' | '＊' | '"' | '“' | '”' | ':' | '：' | '※'));
    let plain = plain.map(|c| match c {
        '（' | '【' | '〔' | '[' => '(',
        '）' | '】' | '〕' | ']' => ')',
        '，' | '、' => ',',
        c => c,
    });
    plain.flat_map(char::to_lowercase).collect()
}

/// The same without what stands in brackets at the end.
pub fn without_brackets(compared: &str) -> &str {
    compared.find('(').filter(|at| *at > 0 && compared.ends_with(')')).map_or(compared, |at| &compared[..at])
}

/// The number of a group: `3` of `3组`, `第三组`, `三社`, `03`. `None` where there is none.
pub fn group_number(text: &str) -> Option<u32> {
    let compared = compared(text);
    let core = compared.trim_start_matches("第");
    let core =
        ["村民小组", "小组", "居民组", "组", "社", "队"].iter().find_map(|s| core.strip_suffix(s)).unwrap_or(core);
    if let Ok(number) = core.parse::<u32>() {
        return Some(number);
    }
    chinese_number(core)
}

/// Numbers below a hundred in Chinese characters.
fn chinese_number(text: &str) -> Option<u32> {
    let digit = |c: char| "一二三四五六七八九".chars().position(|d| d == c).map(|p| p as u32 + 1);
    let chars: Vec<char> = text.chars().collect();
    match chars.as_slice() {
        ['十'] => Some(10),
        [c] => digit(*c),
        ['十', c] => Some(10 + digit(*c)?),
        [c, '十'] => Some(digit(*c)? * 10),
        [c, '十', d] => Some(digit(*c)? * 10 + digit(*d)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
