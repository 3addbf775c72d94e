//! The forms that ship with the program: the household pack.

use std::sync::{Arc, LazyLock};

use super::definition::FormDef;
use super::index::Form;

/// Made of the workbooks in `forms/pack`; a test of the importer compares them.
/// Made of the workbooks in `forms/pack`; a test of the importer compares them.
const BUILT_IN: [&str; 22] = [
    include_str!("../../forms/household.json"),
    include_str!("../../forms/visit.json"),
    include_str!("../../forms/screening.json"),
    include_str!("../../forms/income_ledger.json"),
    include_str!("../../forms/home_environment.json"),
    include_str!("../../forms/village_environment.json"),
    include_str!("../../forms/archive_check.json"),
    include_str!("../../forms/village_check.json"),
    include_str!("../../forms/activity.json"),
    include_str!("../../forms/satisfaction.json"),
    include_str!("../../forms/knowledge_check.json"),
    include_str!("../../forms/birth.json"),
    include_str!("../../forms/death.json"),
    include_str!("../../forms/marriage_in.json"),
    include_str!("../../forms/marriage_out.json"),
    include_str!("../../forms/member_in.json"),
    include_str!("../../forms/member_out.json"),
    include_str!("../../forms/new_head.json"),
    include_str!("../../forms/household_move.json"),
    include_str!("../../forms/household_split.json"),
    include_str!("../../forms/household_union.json"),
    include_str!("../../forms/household_end.json"),
];

/// A set of forms that belong together.
#[derive(Debug, Clone, Default)]
pub struct Pack {
    forms: Vec<Arc<Form>>,
}

impl Pack {
    /// A pack of these forms.
    pub fn new(forms: Vec<FormDef>) -> Self {
        Self { forms: forms.into_iter().map(Form::new).map(Arc::new).collect() }
    }

    /// The household pack, parsed once.
    pub fn built_in() -> &'static Self {
        static PACK: LazyLock<Pack> = LazyLock::new(|| {
            #[expect(clippy::expect_used, reason = "the files are part of the program; a test parses them")]
            Pack::new(BUILT_IN.iter().map(|json| FormDef::from_json(json).expect("a built-in form")).collect())
        });
        &PACK
    }

    /// All forms.
    pub fn forms(&self) -> &[Arc<Form>] {
        &self.forms
    }

    /// The form with this name.
    pub fn form(&self, name: &str) -> Option<&Form> {
        self.forms.iter().find(|f| f.name == name).map(|f| &**f)
    }

    /// The form that makes records of this type.
    pub fn form_of_type(&self, record_type: &str) -> Option<&Form> {
        self.forms.iter().find(|f| f.record_type == record_type).map(|f| &**f)
    }
}
