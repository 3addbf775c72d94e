//! Whether a default is a constant or an expression. XLSForm has no sign for it: converters look at the tokens.

use super::reference::{is_name, references};

/// True when the default of a question of this type is an expression: it holds an operator, a union, a `${reference}` or a
/// function call. For dates and places a `-` makes it a constant.
pub(super) fn is_dynamic(text: &str, type_name: &str) -> bool {
    let dashes_are_text = matches!(type_name, "date" | "dateTime" | "geopoint" | "geotrace" | "geoshape");
    let mut at = 0;
    while at < text.len() {
        let (token, length) = token(text, at);
        match token {
            Token::Minus if dashes_are_text => return false,
            Token::Minus | Token::Dynamic => return true,
            Token::Other => {}
        }
        at += length;
    }
    false
}

enum Token {
    Minus,
    /// An operator, a reference or a call.
    Dynamic,
    Other,
}

/// The token at a byte position and its length in bytes; the order of the rules is that of XLSForm's converter.
fn token(text: &str, at: usize) -> (Token, usize) {
    let rest = &text[at..];
    if let Some(length) = moment(rest).or_else(|| number(rest)) {
        return (Token::Other, length);
    }
    if rest.starts_with('-') {
        return (Token::Minus, 1);
    }
    for operator in ["*", "+", "|", " mod ", " div "] {
        if rest.starts_with(operator) {
            return (Token::Dynamic, operator.len());
        }
    }
    for word in [" and ", " or "] {
        if rest.starts_with(word) {
            return (Token::Other, word.len());
        }
    }
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\''))
        && let Some(end) = rest[1..].find(quote)
    {
        return (Token::Other, end + 2);
    }
    if let Some(Ok(found)) = references(rest).next()
        && found.start == 0
    {
        return (Token::Dynamic, found.end);
    }
    if let Some(length) = name(rest) {
        return if rest[length..].starts_with('(') { (Token::Dynamic, length + 1) } else { (Token::Other, length) };
    }
    (Token::Other, rest.chars().next().map_or(1, char::len_utf8))
}

/// The length of a name, with a prefix and colon maybe.
fn name(text: &str) -> Option<usize> {
    let first = bare_name(text)?;
    match text[first..].strip_prefix(':').and_then(bare_name) {
        Some(second) => Some(first + 1 + second),
        None => Some(first),
    }
}

fn bare_name(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    if !is_name(text.get(..first.len_utf8())?) {
        return None;
    }
    let follows = |c: char| {
        let mut buffer = [b'_', 0, 0, 0, 0];
        let length = c.encode_utf8(&mut buffer[1..]).len();
        std::str::from_utf8(&buffer[..=length]).is_ok_and(is_name)
    };
    Some(text.find(|c| !follows(c)).unwrap_or(text.len()))
}

fn digits(text: &str, from: usize, count: usize) -> bool {
    text.as_bytes().get(from..from + count).is_some_and(|b| b.iter().all(u8::is_ascii_digit))
}

/// A date, a time, or both.
fn moment(text: &str) -> Option<usize> {
    let sign = usize::from(text.starts_with('-'));
    let dash = |at: usize| text.as_bytes().get(at) == Some(&b'-');
    let is_date = digits(text, sign, 4)
        && dash(sign + 4)
        && digits(text, sign + 5, 2)
        && dash(sign + 7)
        && digits(text, sign + 8, 2);
    if !is_date {
        return clock(text);
    }
    let date = sign + 10;
    match text.get(date..).and_then(|rest| rest.strip_prefix('T')).and_then(clock) {
        Some(time) => Some(date + 1 + time),
        None => Some(date),
    }
}

fn clock(text: &str) -> Option<usize> {
    let colon = |at: usize| text.as_bytes().get(at) == Some(&b':');
    if !(digits(text, 0, 2) && colon(2) && digits(text, 3, 2) && colon(5) && digits(text, 6, 2)) {
        return None;
    }
    let rest = &text[8..];
    let zoned = rest.starts_with(['+', '-'])
        && digits(rest, 1, 2)
        && rest.as_bytes().get(3) == Some(&b':')
        && digits(rest, 4, 2);
    Some(8 + if zoned { 6 } else { usize::from(rest.starts_with('Z')) })
}

fn number(text: &str) -> Option<usize> {
    let sign = usize::from(text.starts_with('-'));
    let run = |from: usize| text.as_bytes()[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let whole = run(sign);
    let point = text.as_bytes().get(sign + whole) == Some(&b'.');
    let fraction = if point { run(sign + whole + 1) } else { 0 };
    match (whole, point, fraction) {
        (0, true, 1..) => Some(sign + 1 + fraction),
        (0, _, _) => None,
        (whole, true, fraction) => Some(sign + whole + 1 + fraction),
        (whole, false, _) => Some(sign + whole),
    }
}
