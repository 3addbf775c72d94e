//! Why a form isn't published or retired, for logs and in the words of its author.

use doorstep_core::form::attachment::AttachmentError;
use doorstep_core::form::compare::Break;
use doorstep_core::form::version::VersionError;

use crate::storage::StorageError;

/// Why a form isn't published or retired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormError {
    /// A form's name stands in every change made with it.
    #[error("{0:?} can't be a form's name (form_id in the settings): up to 64 Latin letters, digits, _ . and -")]
    Name(String),
    /// Parts of a record have a `.` in their type.
    #[error("{0:?} can't be a record type: small Latin letters, digits and _, at most 48, a letter first")]
    RecordType(String),
    /// The definition has faults.
    #[error("the form has faults: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Faulty(Vec<doorstep_core::form::Problem>),
    /// Records that are there would be broken.
    #[error("the form doesn't fit the records that are there: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Breaks(Vec<Break>),
    /// Lists that it needs aren't with it.
    #[error("the form needs files that aren't attached: {}", .0.join(", "))]
    MissingFiles(Vec<String>),
    /// An attached list has no such column.
    #[error("{file} has no column {column}, from which {question} takes the names of its choices")]
    MissingColumn {
        /// The list.
        file: String,
        /// The column.
        column: String,
        /// The question.
        question: String,
    },
    /// A list of a multiple choice has a name that no record can hold.
    #[error("{file} has the name {name:?}, which {question} can't tick: no blanks and no /")]
    BadChoice {
        /// The list.
        file: String,
        /// The choice's name.
        name: String,
        /// The question.
        question: String,
    },
    /// An attached list can't be used.
    #[error(transparent)]
    Attachment(#[from] AttachmentError),
    /// Too large.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// No such version.
    #[error("there is no version {version} of {name}")]
    Unknown {
        /// The form.
        name: String,
        /// The version.
        version: u32,
    },
    /// Others keep publishing.
    #[error("others publish at the same time: try again")]
    Busy,
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl FormError {
    /// A code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Name(_) => "form_name",
            Self::RecordType(_) => "record_type",
            Self::Faulty(_) => "faulty",
            Self::Breaks(_) => "breaks_records",
            Self::MissingFiles(_) => "missing_files",
            Self::MissingColumn { .. } => "missing_column",
            Self::BadChoice { .. } => "bad_choice",
            Self::Attachment(_) => "attachment",
            Self::Version(_) => "too_large",
            Self::Unknown { .. } => "unknown_version",
            Self::Busy => "busy",
            Self::Storage(_) => "storage",
        }
    }

    /// What to say to the form's author, in Chinese (`zh`) or English.
    pub fn message(&self, language: &str) -> String {
        if let Self::Breaks(breaks) = self {
            return breaks.iter().map(|b| b.message(language)).collect::<Vec<_>>().join("\n");
        }
        if !language.starts_with("zh") {
            return self.to_string();
        }
        match self {
            Self::Name(name) => {
                format!("“{name}”不能作表的名称（settings 中的 form_id）：最多 64 个拉丁字母、数字、_ . -。")
            }
            Self::RecordType(name) => {
                format!("“{name}”不能作记录类型：小写拉丁字母、数字和 _，最多 48 个，以字母开头。")
            }
            Self::MissingFiles(names) => format!("缺少表所需的文件：{}。", names.join("、")),
            Self::MissingColumn { file, column, question } => {
                format!("“{file}”没有“{column}”列，问题“{question}”要从中取选项名称。")
            }
            Self::BadChoice { file, name, question } => {
                format!("“{file}”中的选项名称“{name}”不能用于多选题“{question}”：不能为空，不能有空格和 /。")
            }
            Self::Attachment(AttachmentError::TooLarge(name)) => {
                format!("文件“{name}”太大：文件不超过 16 MB，内容不超过 2 MB。")
            }
            Self::Attachment(AttachmentError::TooLargeTogether) => "附带的文件总共太大：内容不超过 3 MB。".to_owned(),
            Self::Attachment(AttachmentError::Unreadable { name, format, .. }) => {
                format!("文件“{name}”不能按 {format} 格式读取。")
            }
            Self::Attachment(_) => "附带的文件须以 .csv、.xml 或 .geojson 结尾。".to_owned(),
            Self::Version(_) => "表太大。".to_owned(),
            Self::Unknown { name, version } => format!("“{name}”没有第 {version} 版。"),
            Self::Busy => "同时有人在发布，请再试一次。".to_owned(),
            Self::Faulty(_) | Self::Breaks(_) | Self::Storage(_) => "表不能发布。".to_owned(),
        }
    }
}
