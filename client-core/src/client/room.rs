//! The way out of a full disk, in code and in words.

use std::path::Path;

use super::{Phone, PhoneError};
use crate::messages::text;
use crate::store::{OpenError, Store, StoreError};
use crate::sync::SyncError;

/// What freeing space did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FreedSpace {
    /// 8 MiB are free now.
    Freed,
    /// The reserve had been given back before.
    NothingLeft,
}

impl FreedSpace {
    /// What the person reads, in Chinese (`zh`, also `zh-CN`) or English.
    pub fn message(self, language: &str) -> &'static str {
        match self {
            Self::Freed => text("space_freed", language),
            Self::NothingLeft => text("nothing_to_free", language),
        }
    }
}

/// What the person does when the phone's storage is full, in Chinese (`zh`, also `zh-CN`) or English.
pub fn storage_full_advice(language: &str) -> &'static str {
    text("storage_full", language)
}

impl Phone {
    /// Gives the phone's reserve of 8 MiB back to a full disk, so that what is open can be finished and sent. The reserve is
    /// made anew at the next opening that finds room for twice as much.
    pub fn free_space(&self) -> FreedSpace {
        freed(self.store.free_ballast())
    }

    /// Like [`Phone::free_space`], for a phone in `dir` that can't even be opened.
    pub fn free_space_in(dir: &Path) -> FreedSpace {
        freed(Store::free_ballast_in(dir))
    }
}

fn freed(given: bool) -> FreedSpace {
    if given { FreedSpace::Freed } else { FreedSpace::NothingLeft }
}

impl PhoneError {
    /// True if the phone's storage is full: see [`Phone::free_space`] and [`storage_full_advice`].
    pub fn is_storage_full(&self) -> bool {
        matches!(self, Self::Store(StoreError::Full) | Self::Sync(SyncError::Store(StoreError::Full)))
    }
}

impl OpenError {
    /// True if the phone's storage is full: see [`Phone::free_space_in`] and [`storage_full_advice`].
    pub fn is_storage_full(&self) -> bool {
        matches!(self, Self::Full)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

    use std::sync::Arc;

    use super::*;
    use crate::client::NewRecord;
    use crate::client::test_phone::enrolment;
    use crate::clock::{SystemClock, SystemEntropy};

    fn phone(dir: &Path) -> Phone {
        Phone::open(dir, Arc::new(SystemClock), Arc::new(SystemEntropy)).unwrap().0
    }

    #[test]
    fn on_a_full_disk_freeing_space_lets_the_open_form_be_finished_and_sealed_for_sending() {
        let dir = tempfile::tempdir().unwrap();
        let phone = phone(dir.path());
        phone.store().enrol(&enrolment()).unwrap();
        let reserve = || std::fs::metadata(dir.path().join("ballast")).map_or(0, |m| m.len());
        assert_eq!(reserve(), 8 << 20);
        let draft = phone.start("household", None).unwrap();
        phone.answer_text(draft, "head_name", "李四").unwrap();
        phone.store().leave_bytes(0).unwrap();
        let long = "长".repeat(2_000);
        let full = (0..1_000).find_map(|_| phone.answer_text(draft, "remark", &long).err()).expect("full at last");
        assert!(full.is_storage_full(), "{full:?}");
        assert!(full.to_string().contains("free space"), "the error names the way out: {full}");

        assert_eq!(phone.free_space(), FreedSpace::Freed);
        assert_eq!(reserve(), 0, "the disk has the reserve's bytes again");
        phone.store().leave_bytes(8 << 20).unwrap();
        phone.answer_text(draft, "remark", &long).unwrap();
        let record = phone.finish_as(draft, &NewRecord::default()).unwrap();
        assert_eq!(phone.view(record).unwrap().json.matches("李四").count(), 1);
        assert_eq!(phone.store().pending_upload(500).unwrap().unwrap().changes, 1);
        assert_eq!(phone.free_space(), FreedSpace::NothingLeft);
    }

    #[test]
    fn space_is_freed_also_where_the_phone_can_t_be_opened() {
        let dir = tempfile::tempdir().unwrap();
        let opened = phone(dir.path());
        opened.store().enrol(&enrolment()).unwrap();
        opened.close().unwrap();
        assert_eq!(Phone::free_space_in(dir.path()), FreedSpace::Freed);
        assert_eq!(Phone::free_space_in(dir.path()), FreedSpace::NothingLeft);
        phone(dir.path());
        assert_eq!(std::fs::metadata(dir.path().join("ballast")).unwrap().len(), 8 << 20, "with room it is made anew");
    }

    #[test]
    fn an_opening_that_finds_no_room_for_its_shared_memory_says_that_the_storage_is_full() {
        // what SQLite says on a full tmpfs
        let no_room = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
        let error = || rusqlite::Error::SqliteFailure(no_room, None);
        assert!(OpenError::from(error()).is_storage_full());
        assert!(matches!(StoreError::from(error()), StoreError::Full));
    }

    #[test]
    fn every_text_is_there_in_both_languages() {
        for language in ["zh-CN", "en"] {
            let texts = [
                storage_full_advice(language),
                FreedSpace::Freed.message(language),
                FreedSpace::NothingLeft.message(language),
            ];
            assert!(texts.iter().all(|t| t.chars().count() > 20), "{texts:?}");
        }
    }
}
