//! An import as JSON, the same from the command line and the server's API.

use serde_json::{Value, json};

use super::Import;
use super::diagnostic::Diagnostic;

impl Import {
    /// `publishable`, `problems` with both languages, `tree`, and the `files` to attach.
    pub fn to_json(&self) -> Value {
        json!({
            "publishable": self.publishable(),
            "problems": self.problems.iter().map(Diagnostic::to_json).collect::<Vec<_>>(),
            "tree": self.tree,
            "files": self.files,
        })
    }
}

impl Diagnostic {
    fn to_json(&self) -> Value {
        let place = &self.place;
        let both = |of: &dyn Fn(&str) -> Option<String>| of("en").map(|en| json!({"en": en, "zh": of("zh")}));
        json!({
            "severity": self.severity(),
            "code": self.code(),
            "sheet": place.sheet,
            "row": place.row,
            "column": place.letters(),
            "header": place.header,
            "offset": place.offset,
            "message": both(&|language| Some(self.message(language))),
            "hint": both(&|language| self.hint(language)),
        })
    }
}
