//! The codes of diagnostics. Their sentences stand in `messages/import.json`.

use super::diagnostic::Severity;

macro_rules! codes {
    ($($name:ident = $text:literal, $severity:ident;)*) => {
        /// What a diagnostic is about. The English sentences in `messages/import.json` say what each means.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $text] $name,)*
        }

        impl Code {
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$name),*];

            /// The code as programs see it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Whether it refuses the form.
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }
        }
    };
}

codes! {
    FileTooLarge = "file_too_large", Error;
    FileDamaged = "file_damaged", Error;
    FileEncrypted = "file_encrypted", Error;
    NotAWorkbook = "not_a_workbook", Error;
    OldWorkbook = "old_workbook", Error;
    ZipBomb = "zip_bomb", Error;
    TooMuch = "too_much", Error;
    CellTooLong = "cell_too_long", Error;
    NoSurveySheet = "no_survey_sheet", Error;
    NoHeader = "no_header", Error;
    MissingColumn = "missing_column", Error;
    HeaderNotText = "header_not_text", Error;
    HeaderTwice = "header_twice", Warning;
    HeaderSameMeaning = "header_same_meaning", Error;
    SingleColon = "single_colon", Warning;
    ColumnWithSpace = "column_with_space", Warning;
    ColumnNeedsPart = "column_needs_part", Error;
    ColumnNotTranslated = "column_not_translated", Error;
    UnknownMedium = "unknown_medium", Error;
    BadColumnName = "bad_column_name", Error;
    SearchShared = "search_shared", Error;
    SearchFile = "search_file", Error;
    EntityNotAttached = "entity_not_attached", Error;
    UnknownColumn = "unknown_column", Warning;
    UnknownSetting = "unknown_setting", Warning;
    SheetMisspelled = "sheet_misspelled", Warning;
    SettingsBelow = "settings_below", Warning;
    TwoFormIds = "two_form_ids", Warning;
    ErrorCell = "error_cell", Error;
    FormulaWithoutValue = "formula_without_value", Error;
    AmbiguousDate = "ambiguous_date", Error;
    TypeCase = "type_case", Warning;
    UnknownType = "unknown_type", Error;
    DeadType = "dead_type", Error;
    TypeNotRun = "type_not_run", Warning;
    NotRun = "not_run", Warning;
    SelectWithoutList = "select_without_list", Error;
    NoType = "no_type", Error;
    CommentRow = "comment_row", Warning;
    Disabled = "disabled", Warning;
    NoName = "no_name", Error;
    BadName = "bad_name", Error;
    NameTooLong = "name_too_long", Error;
    ReservedName = "reserved_name", Error;
    NameTwice = "name_twice", Error;
    NameDiffersInCase = "name_differs_in_case", Warning;
    RepeatNamedAsRoot = "repeat_named_as_root", Error;
    RepeatTwice = "repeat_twice", Error;
    RepeatNotLatin = "repeat_not_latin", Error;
    RepeatsTooDeep = "repeats_too_deep", Error;
    TooDeep = "too_deep", Error;
    RepeatWithoutLabel = "repeat_without_label", Warning;
    EmptyBlock = "empty_block", Error;
    NoQuestions = "no_questions", Error;
    NeverClosed = "never_closed", Error;
    ClosesAnother = "closes_another", Error;
    ClosesNothing = "closes_nothing", Error;
    NothingToRead = "nothing_to_read", Error;
    BigImageAlone = "big_image_alone", Error;
    NoCalculation = "no_calculation", Error;
    NoTrigger = "no_trigger", Error;
    CalculationNotAllowed = "calculation_not_allowed", Error;
    DefaultIsExpression = "default_is_expression", Warning;
    SelectBindType = "select_bind_type", Error;
    UnknownClass = "unknown_class", Error;
    UnknownSubject = "unknown_subject", Warning;
    UnknownListColumn = "unknown_list_column", Warning;
    EncryptedWithoutId = "encrypted_without_id", Error;
    ChoiceWithoutList = "choice_without_list", Warning;
    ChoiceWithoutName = "choice_without_name", Error;
    ChoiceWithoutLabel = "choice_without_label", Warning;
    FirstChoiceUnlabelled = "first_choice_unlabelled", Error;
    ChoiceTwice = "choice_twice", Error;
    ChoiceNameWithSpace = "choice_name_with_space", Error;
    ChoiceNameWithSlash = "choice_name_with_slash", Error;
    UnknownList = "unknown_list", Error;
    NoChoicesSheet = "no_choices_sheet", Error;
    ListOnlyExternal = "list_only_external", Error;
    NoExternalSheet = "no_external_sheet", Error;
    UnknownExternalList = "unknown_external_list", Error;
    ExternalWithoutFilter = "external_without_filter", Error;
    OtherWithFilter = "other_with_filter", Error;
    OtherWithoutList = "other_without_list", Error;
    ChoicesFromAnswers = "choices_from_answers", Error;
    ChoicesNotRepeated = "choices_not_repeated", Error;
    FileEnding = "file_ending", Error;
    FileTwice = "file_twice", Error;
    FileClash = "file_clash", Error;
    FileInTable = "file_in_table", Error;
    MissingFile = "missing_file", Warning;
    FilterInTable = "filter_in_table", Error;
    TableListsDiffer = "table_lists_differ", Error;
    ParametersUnread = "parameters_unread", Error;
    UnknownParameter = "unknown_parameter", Error;
    BadParameter = "bad_parameter", Error;
    UnknownGeometry = "unknown_geometry", Error;
    AuditName = "audit_name", Error;
    BadReference = "bad_reference", Error;
    ReferenceNotClosed = "reference_not_closed", Error;
    ReferencesWithoutComma = "references_without_comma", Error;
    UnknownReference = "unknown_reference", Error;
    AmbiguousReference = "ambiguous_reference", Error;
    TriggerUnknown = "trigger_unknown", Error;
    TriggerHidden = "trigger_hidden", Error;
    AddedNameTwice = "added_name_twice", Error;
    Expression = "expression", Error;
    Circle = "circle", Error;
    NoSuchNode = "no_such_node", Warning;
    SeveralAsOne = "several_as_one", Warning;
    BlockAsValue = "block_as_value", Warning;
    BadDefault = "bad_default", Error;
    MissingTranslation = "missing_translation", Warning;
    DefaultLanguageUnknown = "default_language_unknown", Warning;
    UnknownEntityColumn = "unknown_entity_column", Error;
    EntityWithoutList = "entity_without_list", Error;
    BadEntityName = "bad_entity_name", Error;
    EntityIncomplete = "entity_incomplete", Error;
    EntityTwice = "entity_twice", Error;
    EntityScopes = "entity_scopes", Error;
    SaveToWithoutEntity = "save_to_without_entity", Error;
    SaveToWithoutList = "save_to_without_list", Error;
    SaveToBlock = "save_to_block", Error;
    UnknownEntity = "unknown_entity", Error;
    BadProperty = "bad_property", Error;
    PropertyTwice = "property_twice", Error;
    EntityWithoutForm = "entity_without_form", Warning;
    UnknownProperty = "unknown_property", Warning;
}
