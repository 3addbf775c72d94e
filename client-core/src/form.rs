//! Form definitions: what is asked, in which languages, and how sensitive each answer is. No I/O.
//!
//! The shape carries any imported XLSForm: every column has a field or survives in `extra`, expressions stay the source
//! text of the workbook. [`FormDef`] is the plain definition (JSON); [`Form`] is a definition with an index over its answer
//! keys, and checks answers; [`Pack`] is the set of forms that ships with the program (`client-core/forms/*.json`).

pub mod attachment;
pub mod catalog;
pub mod check;
pub mod compare;
pub mod definition;
pub mod entity;
pub mod expression;
#[cfg(feature = "import")]
pub mod import;
pub mod index;
pub mod messages;
pub mod model;
pub mod pack;
pub mod phone_list;
pub mod session;
pub mod summary;
pub mod text;
pub mod validate;
pub mod version;

pub use catalog::{Catalog, Version};
pub use check::AnswerError;
pub use definition::{
    Choice, ChoiceList, ChoiceSource, FormDef, Group, Item, Question, QuestionKind, Repeat, Sensitivity, SubjectKind,
};
pub use index::Form;
pub use pack::Pack;
pub use phone_list::PhoneList;
pub use summary::{ListColumns, Summary};
pub use text::LocalText;
pub use validate::Problem;

/// Under which keys a form's answers stand in a record.
pub use crate::record::key::{AnswerKey, Leaf};

#[cfg(test)]
mod tests;
