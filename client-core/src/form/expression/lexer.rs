//! Splits an expression into words.

use super::error::{ExpressionError, Fault};
use super::syntax::Operator;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Text(String),
    Number(f64),
    /// A name, perhaps with a prefix: `jr:choice-name`.
    Name(String),
    /// `${name}`
    Reference(String),
    Operator(Operator),
    /// `*` where a step is expected.
    Any,
    Slash,
    Dot,
    DotDot,
    Comma,
    LeftParen,
    RightParen,
    LeftBracket,
    RightBracket,
    /// `::`
    Axis,
}

/// Words with their offsets. As in XPath, what stands before decides whether `*`, `-`, `and`, `div` ... are operators.
pub(super) fn lex(text: &str) -> Result<Vec<(usize, Token)>, ExpressionError> {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new() };
    loop {
        lexer.skip_space();
        if lexer.at >= text.len() {
            return Ok(lexer.tokens);
        }
        lexer.next()?;
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<(usize, Token)>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}').len();
    }

    fn fail<T>(&self, fault: Fault) -> Result<T, ExpressionError> {
        Err(ExpressionError::new(self.at, fault))
    }

    /// True where an operator can stand: after a value.
    fn after_value(&self) -> bool {
        use Token::{Any, Dot, DotDot, Name, Number, Reference, RightBracket, RightParen, Text};
        matches!(
            self.tokens.last(),
            Some((_, Text(_) | Number(_) | Name(_) | Reference(_) | Any | Dot | DotDot | RightParen | RightBracket))
        )
    }

    fn push(&mut self, bytes: usize, token: Token) {
        self.tokens.push((self.at, token));
        self.at += bytes;
    }

    fn next(&mut self) -> Result<(), ExpressionError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(()) };
        let second = rest[first.len_utf8()..].chars().next();
        match first {
            '\'' | '"' => return self.quoted(first),
            '$' => return self.reference(),
            '0'..='9' => return self.number(),
            '.' if second.is_some_and(|c| c.is_ascii_digit()) => return self.number(),
            c if is_name_start(c) => return self.word(),
            _ => {}
        }
        if let Some((found, meant)) = foreign(rest) {
            return self.fail(Fault::ForeignOperator(found.to_owned(), meant));
        }
        let (bytes, token) = match (first, second) {
            ('!', Some('=')) => (2, Token::Operator(Operator::NotEqual)),
            ('<', Some('=')) => (2, Token::Operator(Operator::LessEqual)),
            ('>', Some('=')) => (2, Token::Operator(Operator::GreaterEqual)),
            ('=', _) => (1, Token::Operator(Operator::Equal)),
            ('<', _) => (1, Token::Operator(Operator::Less)),
            ('>', _) => (1, Token::Operator(Operator::Greater)),
            ('+', _) => (1, Token::Operator(Operator::Add)),
            ('-', _) => (1, Token::Operator(Operator::Subtract)),
            ('*', _) if self.after_value() => (1, Token::Operator(Operator::Multiply)),
            ('*', _) => (1, Token::Any),
            ('/', Some('/')) => return self.fail(Fault::NotInDialect("//".to_owned())),
            ('/', _) => (1, Token::Slash),
            ('.', Some('.')) => (2, Token::DotDot),
            ('.', _) => (1, Token::Dot),
            (',', _) => (1, Token::Comma),
            ('(', _) => (1, Token::LeftParen),
            (')', _) => (1, Token::RightParen),
            ('[', _) => (1, Token::LeftBracket),
            (']', _) => (1, Token::RightBracket),
            (':', Some(':')) => (2, Token::Axis),
            ('|' | '@', _) => return self.fail(Fault::NotInDialect(first.to_string())),
            _ => return self.fail(Fault::Unexpected(first.to_string())),
        };
        self.push(bytes, token);
        Ok(())
    }

    fn quoted(&mut self, quote: char) -> Result<(), ExpressionError> {
        let inside = &self.rest()[1..];
        let Some(end) = inside.find(quote) else { return self.fail(Fault::UnclosedQuote) };
        if self.after_value() {
            return self.fail(Fault::Unexpected(quote.to_string()));
        }
        self.push(end + 2, Token::Text(inside[..end].to_owned()));
        Ok(())
    }

    fn reference(&mut self) -> Result<(), ExpressionError> {
        let rest = &self.rest()[1..];
        let Some(inside) = rest.strip_prefix('{') else {
            let name = &rest[..name_length(rest)];
            let fault =
                if name.is_empty() { Fault::Unexpected("$".to_owned()) } else { Fault::BareDollar(name.to_owned()) };
            return self.fail(fault);
        };
        let end = inside.find('}').unwrap_or(inside.len());
        let name = &inside[..end];
        let bare = name.strip_prefix("last-saved#").unwrap_or(name);
        if end == inside.len() || bare.is_empty() || name_length(bare) != bare.len() {
            let shown: String = format!("${{{name}}}").chars().take(40).collect();
            return self.fail(Fault::BadReference(shown));
        }
        self.push(end + 3, Token::Reference(name.to_owned()));
        Ok(())
    }

    fn number(&mut self) -> Result<(), ExpressionError> {
        let rest = self.rest();
        let mut point = false;
        let is_part = |c: char| c.is_ascii_digit() || (c == '.' && !std::mem::replace(&mut point, true));
        let end = rest.find(not(is_part)).unwrap_or(rest.len());
        let after = rest[end..].chars().next();
        if after.is_some_and(|c| matches!(c, 'e' | 'E')) {
            return self.fail(Fault::Exponent);
        }
        if after.is_some_and(|c| is_name_start(c) && !self.operator_follows(end)) {
            return self.fail(Fault::Unexpected(rest.chars().take(20).take_while(|c| !c.is_whitespace()).collect()));
        }
        let Ok(number) = rest[..end].parse() else { return self.fail(Fault::Unexpected(rest[..end].to_owned())) };
        self.push(end, Token::Number(number));
        Ok(())
    }

    /// `1and 2`: an operator may touch a number.
    fn operator_follows(&self, end: usize) -> bool {
        let word = &self.rest()[end..];
        word_operator(&word[..name_length(word)]).is_some()
    }

    fn word(&mut self) -> Result<(), ExpressionError> {
        let rest = self.rest();
        let mut length = name_length(rest);
        let word = &rest[..length];
        if self.after_value() {
            if let Some(operator) = word_operator(word) {
                self.push(length, Token::Operator(operator));
                return Ok(());
            }
            let lower = word.to_ascii_lowercase();
            return self.fail(match word_operator(&lower) {
                Some(operator) => Fault::ForeignOperator(word.to_owned(), operator_name(operator)),
                None => Fault::Unexpected(word.to_owned()),
            });
        }
        if let Some(local) = rest[length..].strip_prefix(':').filter(|after| !after.starts_with(':')) {
            length += 1 + name_length(local);
        }
        self.push(length, Token::Name(rest[..length].to_owned()));
        Ok(())
    }
}

fn not(mut test: impl FnMut(char) -> bool) -> impl FnMut(char) -> bool {
    move |c| !test(c)
}

/// Operators of other languages, and what they are here.
fn foreign(rest: &str) -> Option<(&'static str, &'static str)> {
    let known = [
        ("==", "="),
        ("<>", "!="),
        ("&&", "and"),
        ("||", "or"),
        ("=>", ">="),
        ("=<", "<="),
        ("≤", "<="),
        ("≥", ">="),
        ("≠", "!="),
    ];
    let single =
        [("&", "and"), ("%", "mod"), ("÷", "div"), ("×", "*"), ("＝", "="), ("，", ","), ("（", "("), ("）", ")")];
    let negation = || rest.starts_with('!') && !rest.starts_with("!=");
    known
        .into_iter()
        .chain(single)
        .find(|(sign, _)| rest.starts_with(sign))
        .or_else(|| negation().then_some(("!", "not()")))
}

fn word_operator(word: &str) -> Option<Operator> {
    match word {
        "or" => Some(Operator::Or),
        "and" => Some(Operator::And),
        "div" => Some(Operator::Divide),
        "mod" => Some(Operator::Modulo),
        _ => None,
    }
}

fn operator_name(operator: Operator) -> &'static str {
    match operator {
        Operator::Or => "or",
        Operator::And => "and",
        Operator::Divide => "div",
        _ => "mod",
    }
}

/// True for a first letter of a name.
pub(super) fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

/// How many bytes of a name `text` starts with; names go on with digits, `.`, `-` and `_`, in letters of any script.
pub(super) fn name_length(text: &str) -> usize {
    if !text.starts_with(is_name_start) {
        return 0;
    }
    let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '\u{b7}') || is_mark(c);
    text.find(not(goes_on)).unwrap_or(text.len())
}

/// Combining marks of South and South-East Asian scripts and accents stand inside names.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{900}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{203f}' | '\u{2040}')
}
