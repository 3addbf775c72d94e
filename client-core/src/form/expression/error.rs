//! What can be wrong with an expression.

/// A fault of an expression, with its place. [`ExpressionError::message`] and [`ExpressionError::hint`] put it in words.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{} (at byte {offset}){}", self.message("en"), self.hint_suffix())]
pub struct ExpressionError {
    /// Where in the text, in bytes.
    pub offset: usize,
    /// What.
    pub fault: Fault,
}

/// What is wrong. Texts are the form's own words, never answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Longer than [`super::TEXT_BYTES_MAX`].
    TooLong,
    /// Nested deeper than [`super::DEPTH_MAX`].
    TooDeep,
    /// Something is missing at the end.
    UnexpectedEnd,
    /// This can't stand here.
    Unexpected(String),
    /// A quote isn't closed.
    UnclosedQuote,
    /// A reference isn't `${name}`, as `${ name }`, `${}` or `${name`.
    BadReference(String),
    /// `$name`.
    BareDollar(String),
    /// An operator of another language, as `==`, `&&`, `AND`: found, meant.
    ForeignOperator(String, &'static str),
    /// A number with an exponent.
    Exponent,
    /// A part of XPath that ODK's dialect doesn't have, as `//`, `|`, `@`.
    NotInDialect(String),
    /// No function has this name; perhaps this one was meant.
    UnknownFunction(String, Option<String>),
    /// A function of another system, known by name.
    ForeignFunction(String),
    /// Another number of arguments: function, what it takes, how many there are.
    Arguments {
        /// The function.
        function: &'static str,
        /// What it takes, as `3` or `1 to 2`.
        takes: &'static str,
        /// How many there are.
        given: usize,
    },
    /// No node has this name; perhaps this one was meant.
    UnknownName(String, Option<String>),
    /// Several nodes have this name.
    AmbiguousName(String),
    /// No list or file has this name; perhaps this one was meant.
    UnknownTable(String, Option<String>),
    /// The function needs answers (a name or path), not a computed value: function.
    NeedsNodes(&'static str),
    /// The function needs a text in quotes: function.
    NeedsQuoted(&'static str),
    /// In `indexed-repeat`, this isn't a repeat around the first argument.
    NotARepeatAround(String),
    /// Steps up from a filtered node, or a filter where none can stand.
    FilterNotHere,
    /// The regular expression isn't one, or needs look-around or back-references.
    BadPattern(String),
    /// The date format has a sign that doesn't exist.
    BadDateFormat(String),
    /// A day that doesn't exist, as 30 February.
    ImpossibleDate,
    /// A number that no date has, or a truth value as date.
    NotADate,
    /// The answers aren't places.
    NotAPlace(&'static str),
    /// Not a digest algorithm or encoding.
    UnknownAlgorithm(String),
    /// `weighted-checklist` with more factors than weights, or the other way.
    UnequalSets,
    /// The evaluation visits more than [`super::VISITS_MAX`] nodes.
    TooMuchWork,
    /// The evaluation makes a text longer than [`super::RESULT_BYTES_MAX`].
    ResultTooLong,
}

impl ExpressionError {
    pub(super) fn new(offset: usize, fault: Fault) -> Self {
        Self { offset, fault }
    }

    fn hint_suffix(&self) -> String {
        self.hint("en").map_or_else(String::new, |hint| format!(" {hint}"))
    }
}

/// The candidate nearest to `name` by edits, if it is near enough to be meant. Case and `_`/`-` count little.
pub(super) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    if name.len() > 64 {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    let wanted = plain(name);
    let bound = 1 + wanted.chars().count() / 3;
    let near = candidates.filter(|c| c.len() <= 80).map(|c| (edits(&wanted, &plain(c)), c));
    near.filter(|(distance, _)| *distance <= bound).min_by_key(|(distance, _)| *distance).map(|(_, c)| c.to_owned())
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
