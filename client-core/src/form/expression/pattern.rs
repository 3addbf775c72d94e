//! Regular expressions: Java's syntax, as forms have it, written anew for the `regex` crate, which runs in linear time.

use std::iter::Peekable;
use std::str::Chars;

use regex::{Regex, RegexBuilder};

use super::error::Fault;

/// The longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 4096;
/// The largest compiled pattern, in bytes.
const COMPILED_BYTES_MAX: usize = 1024 * 1024;

/// A pattern that matches whole texts.
pub(super) fn compile(java: &str) -> Result<Regex, Fault> {
    if java.len() > PATTERN_BYTES_MAX {
        return Err(Fault::BadPattern("too long".to_owned()));
    }
    let pattern = format!("^(?:{})$", translate(java)?);
    let built = RegexBuilder::new(&pattern).size_limit(COMPILED_BYTES_MAX).nest_limit(100).build();
    built.map_err(|error| Fault::BadPattern(first_line(&error)))
}

fn first_line(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "too large".to_owned(),
        // the crate draws the pattern over several lines; the last one says what is wrong
        other => other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    }
}

fn translate(java: &str) -> Result<String, Fault> {
    let mut out = String::with_capacity(java.len() + 16);
    let mut signs = java.chars().peekable();
    let mut in_class = 0_u32;
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => escape(&mut signs, in_class > 0, &mut out)?,
            '[' => {
                in_class += 1;
                out.push('[');
                if signs.peek() == Some(&'^') {
                    signs.next();
                    out.push('^');
                }
            }
            ']' if in_class > 0 => {
                in_class -= 1;
                out.push(']');
            }
            // these mean something to the crate within a class, and nothing to Java
            ':' if in_class > 0 => out.push_str("\\:"),
            '-' | '~' if in_class > 0 && signs.peek() == Some(&sign) => {
                out.push('\\');
                out.push(sign);
            }
            '*' | '+' | '?' | '}' if in_class == 0 && signs.peek() == Some(&'+') && sign != '\\' => {
                return Err(Fault::BadPattern(format!("{sign}+")));
            }
            _ => out.push(sign),
        }
    }
    Ok(out)
}

/// Java's classes are of ASCII only.
fn escape(signs: &mut Peekable<Chars<'_>>, in_class: bool, out: &mut String) -> Result<(), Fault> {
    let Some(sign) = signs.next() else { return Err(Fault::BadPattern("\\".to_owned())) };
    let class = match sign {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        'w' => "[a-zA-Z0-9_]",
        'W' => "[^a-zA-Z0-9_]",
        's' => "[ \\t\\n\\x0B\\f\\r]",
        'S' => "[^ \\t\\n\\x0B\\f\\r]",
        'h' => "[ \\t\\u{a0}\\u{1680}\\u{180e}\\u{2000}-\\u{200a}\\u{202f}\\u{205f}\\u{3000}]",
        'R' if !in_class => "(?:\\r\\n|[\\n\\x0B\\f\\r\\u{85}\\u{2028}\\u{2029}])",
        'b' if !in_class => "(?-u:\\b)",
        'B' if !in_class => "\\B",
        'A' if !in_class => "\\A",
        'z' | 'Z' if !in_class => "\\z",
        'e' => "\\x1b",
        't' => "\\t",
        'n' => "\\n",
        'r' => "\\r",
        'f' => "\\f",
        'a' => "\\x07",
        'p' | 'P' => return property(signs, sign == 'P', out),
        'x' | 'u' => {
            out.push('\\');
            out.push(sign);
            return Ok(());
        }
        c if c.is_ascii_alphanumeric() => return Err(Fault::BadPattern(format!("\\{c}"))),
        c => {
            let plain = c.to_string();
            out.push_str(&regex::escape(&plain));
            if plain == regex::escape(&plain) && matches!(c, '-' | '&' | '~') {
                out.pop();
                out.push('\\');
                out.push(c);
            }
            return Ok(());
        }
    };
    out.push_str(class);
    Ok(())
}

/// `\p{L}`, `\pL`, `\p{IsHan}`, `\p{Alpha}`.
fn property(signs: &mut Peekable<Chars<'_>>, negated: bool, out: &mut String) -> Result<(), Fault> {
    let name: String = match signs.next() {
        Some('{') => signs.by_ref().take_while(|c| *c != '}').collect(),
        Some(c) => c.to_string(),
        None => return Err(Fault::BadPattern("\\p".to_owned())),
    };
    let ascii = match name.as_str() {
        "Alpha" => "a-zA-Z",
        "Lower" => "a-z",
        "Upper" => "A-Z",
        "Digit" => "0-9",
        "Alnum" => "a-zA-Z0-9",
        "XDigit" => "0-9a-fA-F",
        "Space" => " \\t\\n\\x0B\\f\\r",
        "Blank" => " \\t",
        "Punct" => "!-/:-@\\[-`{-\\~",
        "ASCII" => "\\x00-\\x7f",
        _ => "",
    };
    if ascii.is_empty() {
        let plain = name.strip_prefix("Is").or_else(|| name.strip_prefix("java")).unwrap_or(&name);
        out.push_str(if negated { "\\P{" } else { "\\p{" });
        out.push_str(plain);
        out.push('}');
    } else {
        out.push_str(if negated { "[^" } else { "[" });
        out.push_str(ascii);
        out.push(']');
    }
    Ok(())
}
