//! Why a server refuses an upload as a whole, with the texts that phone, pages and API show for it.
//!
//! Such an upload belongs to an authenticated device: its hello was signed. What is wrong with a hello is another matter.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::status::reason_code;
use super::{DecodeError, SealError};

/// Why an upload isn't taken. Single changes of a batch that is taken get final states of their own instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UploadRefusal {
    /// It doesn't inflate, or isn't a batch or refill.
    #[error("the upload can't be read: {0}")]
    Unreadable(DecodeError),
    /// A sealed part of it can't be opened.
    #[error("{0}")]
    Sealed(SealError),
    /// Another version of the format.
    #[error("the upload has another format version")]
    Version,
    /// Over a limit, before or after inflation.
    #[error("the upload is over a limit")]
    TooLarge,
    /// The batch isn't signed by the device's key.
    #[error("the batch's signature is wrong")]
    Signature,
    /// The batch names another tenant or another device than the hello.
    #[error("the batch belongs to another tenant or device")]
    Foreign,
    /// The bytes don't have the digest or length that the hello names.
    #[error("the upload doesn't match its digest")]
    Digest,
    /// The batch's number was taken by another batch of the branch.
    #[error("the batch's number is taken")]
    BranchTaken,
    /// Batches before this one are missing.
    #[error("batches before this one are missing")]
    BatchGap,
    /// The phone was reported lost and has said that it erased itself: somebody has a copy of it.
    #[error("the phone was erased")]
    Wiped,
}

impl UploadRefusal {
    /// A code for programs; [`refusal_text`] has what people read.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "upload_unreadable",
            Self::Sealed(_) => "upload_sealed",
            Self::Version => "upload_version",
            Self::TooLarge => "upload_too_large",
            Self::Signature => "upload_signature",
            Self::Foreign => "upload_foreign",
            Self::Digest => "upload_digest",
            Self::BranchTaken => "upload_branch_taken",
            Self::BatchGap => "upload_batch_gap",
            Self::Wiped => "upload_wiped",
        }
    }

    /// True for the code of an error that refuses an upload and not the request; also one of a newer server.
    pub fn is_code(code: &str) -> bool {
        code.starts_with("upload_")
    }
}

impl From<DecodeError> for UploadRefusal {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Version => Self::Version,
            DecodeError::Limit(_) => Self::TooLarge,
            error => Self::Unreadable(error),
        }
    }
}

impl From<SealError> for UploadRefusal {
    fn from(error: SealError) -> Self {
        Self::Sealed(error)
    }
}

/// A text in Chinese and English.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct BothLanguages {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

impl BothLanguages {
    /// Chinese for `zh` and `zh-CN`, English for everything else.
    pub fn in_language(&self, language: &str) -> &str {
        if language.starts_with("zh") { &self.zh } else { &self.en }
    }
}

/// What people read about a refused upload.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct RefusalText {
    /// What happened.
    pub what: BothLanguages,
    /// What the person with the phone does about it.
    pub advice: BothLanguages,
}

static TEXTS: LazyLock<BTreeMap<String, RefusalText>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../messages/uploads.json")).unwrap_or_default());
static NO_TEXT: LazyLock<RefusalText> = LazyLock::new(RefusalText::default);

/// The texts for a code of [`UploadRefusal`]; general ones for a code of a newer server.
pub fn refusal_text(code: &str) -> &'static RefusalText {
    TEXTS.get(code).or_else(|| TEXTS.get("upload_other")).unwrap_or(&NO_TEXT)
}

static CHANGE_TEXTS: LazyLock<BTreeMap<String, RefusalText>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../messages/changes.json")).unwrap_or_default());

/// The texts for the reason of a refused change; general ones for a reason that isn't a helper's to act on.
pub fn change_refusal_text(reason: &str) -> &'static RefusalText {
    CHANGE_TEXTS.get(reason_code(reason)).or_else(|| CHANGE_TEXTS.get("other")).unwrap_or(&NO_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_changes_have_texts_in_both_languages() {
        for code in [
            "out_of_scope",
            "forbidden_type",
            "forbidden_answer",
            "locked",
            "forbidden_state",
            "unknown_area",
            "foreign_author",
            "foreign_user",
            "identity",
            "equivocation",
        ] {
            assert!(CHANGE_TEXTS.contains_key(code), "{code}");
        }
        for text in CHANGE_TEXTS.values().flat_map(|t| [&t.what, &t.advice]) {
            assert!(text.zh.ends_with('。') && text.en.ends_with('.'), "{text:?}");
        }
        assert_eq!(change_refusal_text("forbidden_answer status"), change_refusal_text("forbidden_answer"));
        assert_eq!(change_refusal_text("start_op"), change_refusal_text("other"));
    }

    #[test]
    fn every_refusal_has_texts_of_its_own_in_both_languages() {
        let all = [
            UploadRefusal::Unreadable(DecodeError::Compression),
            UploadRefusal::Sealed(SealError::Closed),
            UploadRefusal::Version,
            UploadRefusal::TooLarge,
            UploadRefusal::Signature,
            UploadRefusal::Foreign,
            UploadRefusal::Digest,
            UploadRefusal::BranchTaken,
            UploadRefusal::BatchGap,
            UploadRefusal::Wiped,
        ];
        for refusal in all {
            assert!(UploadRefusal::is_code(refusal.code()));
            assert!(TEXTS.contains_key(refusal.code()), "{refusal}");
        }
        assert_eq!(TEXTS.len(), all.len() + 1, "a text for each and one for codes of a newer server");
        for text in TEXTS.values().flat_map(|t| [&t.what, &t.advice]) {
            assert!(text.zh.ends_with('。') && text.en.ends_with('.'), "{text:?}");
            assert_eq!(text.in_language("zh-CN"), text.zh);
            assert_eq!(text.in_language("en"), text.en);
        }
        assert_eq!(refusal_text("upload_of_the_future"), refusal_text("upload_other"));
    }
}
