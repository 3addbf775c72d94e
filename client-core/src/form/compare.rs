//! Whether a new version of a form fits the records that were made with earlier ones.
//!
//! Answers stand in records under their keys, for good. A question may be added, removed, moved and worded anew; what may
//! not change under a key is what it holds and which document it stands in.

use super::definition::{Item, QuestionKind};
use super::index::Form;
use crate::record::key::AnswerKey;

/// What a new version would break in records that are there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Break {
    /// The form would make another type of records.
    #[error("version {version} of {form} makes records of the type {old}, this one of the type {new}")]
    RecordType {
        /// The form.
        form: String,
        /// The version that it was compared with.
        version: u32,
        /// The type there.
        old: String,
        /// The type now.
        new: String,
    },
    /// The records would be about something else.
    #[error("records of version {version} of {form} are about {old}, those of this one would be about {new}")]
    Subject {
        /// The form.
        form: String,
        /// The version that it was compared with.
        version: u32,
        /// What they are about there.
        old: String,
        /// What they would be about.
        new: String,
    },
    /// A question would hold another kind of answer.
    #[error(
        "the answer {key} is {old} in version {version} of {form} and would be {new}: give the question another name"
    )]
    Kind {
        /// The answer's key, with the repeats around it.
        key: String,
        /// The form.
        form: String,
        /// The version that it was compared with.
        version: u32,
        /// The kind there.
        old: String,
        /// The kind now.
        new: String,
    },
    /// An answer would stand in another document.
    #[error(
        "the answer {key} is of the class {old} in version {version} of {form} and would be {new}: give the question another name"
    )]
    Class {
        /// The answer's key, with the repeats around it.
        key: String,
        /// The form.
        form: String,
        /// The version that it was compared with.
        version: u32,
        /// The class there.
        old: &'static str,
        /// The class now.
        new: &'static str,
    },
}

impl Break {
    /// The sentence in `zh` or English.
    pub fn message(&self, language: &str) -> String {
        if language != "zh" {
            return self.to_string();
        }
        match self {
            Self::RecordType { form, version, old, new } => {
                format!("{form} 第 {version} 版的记录类型是 {old}，这一版是 {new}")
            }
            Self::Subject { form, version, old, new } => {
                format!("{form} 第 {version} 版的记录对象是 {old}，这一版是 {new}")
            }
            Self::Kind { key, form, version, old, new } => {
                format!("答案 {key} 在 {form} 第 {version} 版中是 {old}，这一版成了 {new}：请给这个问题另取名称")
            }
            Self::Class { key, form, version, old, new } => {
                format!(
                    "答案 {key} 在 {form} 第 {version} 版中的保密级别是 {old}，这一版成了 {new}：请给这个问题另取名称"
                )
            }
        }
    }
}

/// What the records of `old` would lose if `new` read and edited them; empty when nothing.
pub fn breaks(old: &Form, new: &Form) -> Vec<Break> {
    let (form, version) = (old.name.clone(), old.version);
    let mut found = Vec::new();
    if old.record_type != new.record_type {
        let (old, new) = (old.record_type.clone(), new.record_type.clone());
        return vec![Break::RecordType { form, version, old, new }];
    }
    if old.name == new.name && old.subject != new.subject {
        let (old, new) = (old.subject.as_str().to_owned(), new.subject.as_str().to_owned());
        found.push(Break::Subject { form: form.clone(), version, old, new });
    }
    for key in keys(&old.items, "") {
        let (Some(old_kind), Some(new_kind)) = (kind(old, &key), kind(new, &key)) else { continue };
        if old_kind != new_kind {
            let (key, form) = (shown(&key), form.clone());
            found.push(Break::Kind { key, form, version, old: old_kind, new: new_kind });
            continue;
        }
        if let (Some(old), Some(new)) = (old.class_of(&key), new.class_of(&key))
            && old != new
        {
            let (key, form) = (shown(&key), form.clone());
            found.push(Break::Class { key, form, version, old: old.as_str(), new: new.as_str() });
        }
    }
    found
}

/// What stands under a key: the name of the question's kind, `repeat`, or nothing.
fn kind(form: &Form, key: &str) -> Option<String> {
    if AnswerKey::parse(key).is_some_and(|k| matches!(k.leaf, crate::record::key::Leaf::Order)) {
        return form.class_of(key).map(|_| "repeat".to_owned());
    }
    let question = form.question_of(key)?;
    (question.kind != QuestionKind::Note).then(|| question.kind.as_str().to_owned())
}

/// One key for each question, and one for each repeat, as of an instance `i`.
fn keys(items: &[Item], around: &str) -> Vec<String> {
    let mut all = Vec::new();
    for item in items {
        match item {
            Item::Question(question) => all.push(format!("{around}{}", question.key())),
            Item::Group(group) => all.extend(keys(&group.items, around)),
            Item::Repeat(repeat) => {
                let inner = format!("{around}{}#i/", repeat.name);
                all.push(format!("{inner}@order"));
                all.extend(keys(&repeat.items, &inner));
            }
        }
    }
    all
}

fn shown(key: &str) -> String {
    key.replace("#i/@order", "").replace("#i", "")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may stop at the first surprise")]
mod tests {
    use super::*;
    use crate::form::{FormDef, Pack, Question, Sensitivity, SubjectKind};

    fn form(name: &str, change: impl FnOnce(&mut FormDef)) -> Form {
        let mut def = Pack::built_in().form(name).unwrap().def().clone();
        change(&mut def);
        Form::new(def)
    }

    fn question<'a>(items: &'a mut [Item], name: &str) -> Option<&'a mut Question> {
        items.iter_mut().find_map(|item| match item {
            Item::Question(q) => (q.name == name).then_some(&mut **q),
            Item::Group(g) => question(&mut g.items, name),
            Item::Repeat(r) => question(&mut r.items, name),
        })
    }

    #[test]
    fn a_corrected_wording_a_new_question_and_a_removed_one_break_nothing() {
        let old = form("household", |_| {});
        let new = form("household", |def| {
            def.titles.0.insert("English (en)".to_owned(), "Corrected".to_owned());
            let mut added = question(&mut def.items, "remark").unwrap().clone();
            added.name = "another_remark".to_owned();
            def.items.push(Item::Question(Box::new(added)));
            def.items.remove(0);
        });
        assert_eq!(breaks(&old, &new), []);
    }

    #[test]
    fn another_kind_class_type_or_subject_under_the_same_name_is_found() {
        let old = form("household", |_| {});
        let kind = form("household", |def| question(&mut def.items, "remark").unwrap().kind = QuestionKind::Integer);
        assert!(matches!(&breaks(&old, &kind)[..], [Break::Kind { key, .. }] if key == "remark"));
        let class = form("household", |def| question(&mut def.items, "remark").unwrap().class = Sensitivity::Sensitive);
        assert!(matches!(&breaks(&old, &class)[..], [Break::Class { key, .. }] if key == "remark"));
        let member = form("household", |def| question(&mut def.items, "sex").unwrap().kind = QuestionKind::Text);
        assert!(matches!(&breaks(&old, &member)[..], [Break::Kind { key, .. }] if key == "member/sex"));
        let of_type = form("household", |def| def.record_type = "visit".to_owned());
        assert!(matches!(&breaks(&old, &of_type)[..], [Break::RecordType { .. }]));
        let subject = form("household", |def| def.subject = SubjectKind::Person);
        let found = breaks(&old, &subject);
        assert!(matches!(&found[..], [Break::Subject { .. }]));
        assert!(found[0].message("zh").contains("记录对象") && found[0].message("en").contains("person"));
    }
}
