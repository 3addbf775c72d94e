//! The functions: names, numbers of arguments, and the names of other systems' functions that are refused.

use super::error::nearest;

macro_rules! functions {
    ($($variant:ident = $name:literal, $min:literal ..= $max:literal, $takes:literal;)*) => {
        /// A function of the dialect.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Function { $($variant,)* }

        const ALL: &[(Function, &str, usize, usize, &str)] = &[$((Function::$variant, $name, $min, $max, $takes),)*];
    };
}

const MANY: usize = 1000;

functions! {
    True = "true", 0..=0, "0";
    False = "false", 0..=0, "0";
    Boolean = "boolean", 1..=1, "1";
    BooleanFromString = "boolean-from-string", 1..=1, "1";
    Not = "not", 1..=1, "1";
    If = "if", 3..=3, "3";
    Coalesce = "coalesce", 2..=2, "2";
    Once = "once", 1..=1, "1";
    Checklist = "checklist", 2..=1000, "2 or more";
    WeightedChecklist = "weighted-checklist", 2..=1000, "2, 4, 6 ...";
    Number = "number", 1..=1, "1";
    Int = "int", 1..=1, "1";
    Round = "round", 1..=2, "1 or 2";
    Floor = "floor", 1..=1, "1";
    Ceiling = "ceiling", 1..=1, "1";
    Abs = "abs", 1..=1, "1";
    Pow = "pow", 2..=2, "2";
    Sqrt = "sqrt", 1..=1, "1";
    Exp = "exp", 1..=1, "1";
    Exp10 = "exp10", 1..=1, "1";
    Log = "log", 1..=1, "1";
    Log10 = "log10", 1..=1, "1";
    Sin = "sin", 1..=1, "1";
    Cos = "cos", 1..=1, "1";
    Tan = "tan", 1..=1, "1";
    Asin = "asin", 1..=1, "1";
    Acos = "acos", 1..=1, "1";
    Atan = "atan", 1..=1, "1";
    Atan2 = "atan2", 2..=2, "2";
    Pi = "pi", 0..=0, "0";
    Random = "random", 0..=0, "0";
    String = "string", 1..=1, "1";
    Concat = "concat", 0..=1000, "any number of";
    Join = "join", 1..=1000, "1 or more";
    Substr = "substr", 2..=3, "2 or 3";
    Substring = "substring", 2..=3, "2 or 3";
    SubstringBefore = "substring-before", 2..=2, "2";
    SubstringAfter = "substring-after", 2..=2, "2";
    StringLength = "string-length", 0..=1, "0 or 1";
    NormalizeSpace = "normalize-space", 0..=1, "0 or 1";
    Translate = "translate", 3..=3, "3";
    Contains = "contains", 2..=2, "2";
    StartsWith = "starts-with", 2..=2, "2";
    EndsWith = "ends-with", 2..=2, "2";
    Regex = "regex", 2..=2, "2";
    Uuid = "uuid", 0..=1, "0 or 1";
    Digest = "digest", 2..=3, "2 or 3";
    Base64Decode = "base64-decode", 1..=1, "1";
    ExtractSigned = "extract-signed", 2..=2, "2";
    Version = "version", 0..=0, "0";
    Property = "property", 1..=1, "1";
    Today = "today", 0..=0, "0";
    Now = "now", 0..=0, "0";
    Date = "date", 1..=1, "1";
    DateTime = "date-time", 1..=1, "1";
    DecimalDateTime = "decimal-date-time", 1..=1, "1";
    DecimalTime = "decimal-time", 1..=1, "1";
    FormatDate = "format-date", 2..=2, "2";
    FormatDateTime = "format-date-time", 2..=2, "2";
    Selected = "selected", 2..=2, "2";
    IsSelected = "is-selected", 2..=2, "2";
    CountSelected = "count-selected", 1..=1, "1";
    SelectedAt = "selected-at", 2..=2, "2";
    ChoiceName = "jr:choice-name", 2..=2, "2";
    Count = "count", 1..=1, "1";
    CountNonEmpty = "count-non-empty", 1..=1, "1";
    Sum = "sum", 1..=1, "1";
    Min = "min", 0..=1000, "1 or more";
    Max = "max", 0..=1000, "1 or more";
    Position = "position", 0..=1, "0 or 1";
    Last = "last", 0..=0, "0";
    IndexedRepeat = "indexed-repeat", 3..=11, "3, 5, 7, 9 or 11";
    Randomize = "randomize", 1..=2, "1 or 2";
    Pulldata = "pulldata", 4..=4, "4";
    Current = "current", 0..=0, "0";
    Instance = "instance", 1..=1, "1";
    Distance = "distance", 1..=1000, "1 or more";
    Area = "area", 1..=1, "1";
    EnclosedArea = "enclosed-area", 1..=1, "1";
    Geofence = "geofence", 2..=2, "2";
}

/// Functions of other systems: known by name, refused.
const FOREIGN: [&str; 22] = [
    "difference-in-months",
    "difference-in-weeks",
    "difference-in-days",
    "difference-in-years",
    "to-bikram-sambat",
    "add-date",
    "parse-timestamp-to-date",
    "cht:difference-in-months",
    "cht:difference-in-weeks",
    "cht:difference-in-days",
    "cht:difference-in-years",
    "cht:extension-lib",
    "cht:strip-whitespace",
    "cht:validate-luhn",
    "z-score",
    "cond",
    "depend",
    "duration",
    "encrypt",
    "here",
    "id",
    "local-name",
];

impl Function {
    /// The function of this name, exactly.
    pub(super) fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|f| f.1 == name).map(|f| f.0)
    }

    fn row(self) -> &'static (Self, &'static str, usize, usize, &'static str) {
        // the table is in the order of the variants
        &ALL[self as usize]
    }

    /// The name.
    pub(super) fn name(self) -> &'static str {
        self.row().1
    }

    /// What it takes, in words.
    pub(super) fn takes(self) -> &'static str {
        self.row().4
    }

    /// Whether it takes this many arguments.
    pub(super) fn accepts(self, given: usize) -> bool {
        let (_, _, min, max, _) = *self.row();
        let even = self != Self::WeightedChecklist || given.is_multiple_of(2);
        let odd = self != Self::IndexedRepeat || !given.is_multiple_of(2);
        given >= min && given <= max.min(MANY) && even && odd
    }
}

/// True for a function of another system.
pub(super) fn is_foreign(name: &str) -> bool {
    FOREIGN.contains(&name)
}

/// The function that was perhaps meant.
pub(super) fn nearest_function(name: &str) -> Option<String> {
    let lower = name.to_lowercase();
    let other = match lower.as_str() {
        "len" | "length" | "strlen" => Some("string-length"),
        "iif" | "when" => Some("if"),
        "avg" | "average" | "mean" => Some("sum"),
        "ceil" => Some("ceiling"),
        "power" => Some("pow"),
        "choice-label" | "choice-name" | "jr:choice-label" => Some("jr:choice-name"),
        _ => None,
    };
    other.map(str::to_owned).or_else(|| nearest(name, ALL.iter().map(|f| f.1)))
}
