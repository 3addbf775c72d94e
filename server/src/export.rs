//! What every export to spreadsheets shares.

use std::borrow::Cow;

/// Begins a CSV file, so that spreadsheet programs take it for UTF-8.
pub const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A cell that a spreadsheet program takes as text: one that begins like a formula gets an apostrophe before it.
pub fn cell(text: &str) -> Cow<'_, str> {
    match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠') => {
            Cow::Owned(format!("'{text}"))
        }
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn cells_that_begin_like_a_formula_are_text() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1+1"] {
            assert_eq!(cell(formula), format!("'{formula}"));
        }
        for plain in ["", "张三", "1-1", " =1"] {
            assert_eq!(cell(plain), plain);
        }
    }
}
