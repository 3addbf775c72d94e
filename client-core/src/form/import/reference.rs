//! `${name}` in a cell: where, and of what.

/// A reference in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reference<'a> {
    pub(super) name: &'a str,
    /// The last saved record's answer, `${last-saved#name}`.
    pub(super) last_saved: bool,
    /// Where the `$` stands, in bytes.
    pub(super) start: usize,
    /// After the `}`, in bytes.
    pub(super) end: usize,
}

/// What starts as a reference and isn't one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed<'a> {
    /// Where the `$` stands, in bytes.
    pub(super) start: usize,
    /// What stands between the braces, or up to the end.
    pub(super) inside: &'a str,
    pub(super) closed: bool,
}

/// The references of a text in order.
pub(super) fn references(text: &str) -> impl Iterator<Item = Result<Reference<'_>, Malformed<'_>>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + text.get(at..)?.find("${")?;
            let inside_start = start + 2;
            let Some(length) = text[inside_start..].find('}') else {
                at = text.len();
                return Some(Err(Malformed { start, inside: &text[inside_start..], closed: false }));
            };
            let inside = &text[inside_start..inside_start + length];
            at = inside_start + length + 1;
            if inside.is_empty() {
                continue; // `${}` is no reference for any converter; what it does to an expression is found there
            }
            let (name, last_saved) = match inside.strip_prefix("last-saved#") {
                Some(name) => (name, true),
                None => (inside, false),
            };
            return Some(if is_name(name) {
                Ok(Reference { name, last_saved, start, end: at })
            } else {
                Err(Malformed { start, inside, closed: true })
            });
        }
    })
}

/// True when the text is one reference and nothing else.
pub(super) fn only_reference(text: &str) -> Option<&str> {
    match references(text).next()? {
        Ok(found) if found.start == 0 && found.end == text.len() && !found.last_saved => Some(found.name),
        _ => None,
    }
}

/// True for an XML name without colon: a letter of any script or `_`, then also digits, `-` and `.`.
pub(super) fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(is_name_start) && chars.all(|c| is_name_start(c) || is_name_more(c))
}

fn is_name_start(c: char) -> bool {
    matches!(c, 'A'..='Z' | '_' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
        | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}'
        | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
        | '\u{10000}'..='\u{effff}')
}

fn is_name_more(c: char) -> bool {
    matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

/// A byte position as a position in characters.
pub(super) fn in_chars(text: &str, byte: usize) -> usize {
    text.get(..byte).map_or(0, |t| t.chars().count())
}
