//! Versions of a form as they are stored and sent: the bytes of a definition, their hash, and differences between versions.
//!
//! A definition's bytes are its JSON. They are stored and sent compressed, whole or against the bytes of another version,
//! and count only if their SHA-256 is the one that the version was published under.

use sha2::{Digest, Sha256};
use zstd::zstd_safe::{CCtx, CParameter, DCtx, DParameter, get_frame_content_size};

use super::definition::FormDef;

/// The largest definition, as JSON: some 30,000 choices in two languages.
pub const DEFINITION_MAX: usize = 4 << 20;
/// The largest definition, compressed.
pub const PACKED_MAX: usize = 1 << 20;
/// A form is published once and fetched by every phone: the level that makes it smallest.
const LEVEL: i32 = 19;
/// Binary logarithm of the largest compression window: a definition and its base.
const WINDOW_LOG_MAX: u32 = 23;

/// SHA-256 over a definition's bytes.
pub type VersionHash = [u8; 32];

/// Why a definition can't be stored or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VersionError {
    /// Larger than [`DEFINITION_MAX`] or [`PACKED_MAX`].
    #[error("the form's definition is too large")]
    TooLarge,
    /// The definition has no JSON.
    #[error("the form's definition can't be written")]
    Unwritable,
    /// The bytes don't inflate, or aren't those of the hash.
    #[error("the form's definition is damaged")]
    Damaged,
    /// The bytes are right, and this program can't read the form in them: it was made by a newer one.
    #[error("the form needs a newer program")]
    Unreadable,
}

/// A definition's bytes with their hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionBytes {
    json: Vec<u8>,
    hash: VersionHash,
}

impl DefinitionBytes {
    /// The bytes of a definition.
    ///
    /// # Errors
    /// When it is too large.
    pub fn of(def: &FormDef) -> Result<Self, VersionError> {
        let json = serde_json::to_vec(def).map_err(|_| VersionError::Unwritable)?;
        if json.len() > DEFINITION_MAX {
            return Err(VersionError::TooLarge);
        }
        let hash = Sha256::digest(&json).into();
        Ok(Self { json, hash })
    }

    /// The JSON.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// Their SHA-256.
    pub fn hash(&self) -> VersionHash {
        self.hash
    }

    /// Reads the form in them.
    ///
    /// # Errors
    /// When this program doesn't understand it.
    pub fn read(&self) -> Result<FormDef, VersionError> {
        serde_json::from_slice(&self.json).map_err(|_| VersionError::Unreadable)
    }

    /// Compressed; with a base, as a difference against it.
    ///
    /// # Errors
    /// When the result is too large.
    pub fn pack(&self, base: Option<&Self>) -> Result<Vec<u8>, VersionError> {
        self.pack_at(LEVEL, base)
    }

    /// Compressed whole, in a tenth of the time: for what a phone stores.
    ///
    /// # Errors
    /// When the result is too large.
    pub fn pack_fast(&self) -> Result<Vec<u8>, VersionError> {
        self.pack_at(crate::protocol::ZSTD_LEVEL, None)
    }

    fn pack_at(&self, level: i32, base: Option<&Self>) -> Result<Vec<u8>, VersionError> {
        let prefix = base.map_or(&[][..], |b| &b.json);
        let fail = |_| VersionError::Unwritable;
        let mut context = CCtx::create();
        context.set_parameter(CParameter::CompressionLevel(level)).map_err(fail)?;
        let together = (self.json.len() + prefix.len()).max(2).next_power_of_two().ilog2();
        context.set_parameter(CParameter::WindowLog(together.clamp(10, WINDOW_LOG_MAX))).map_err(fail)?;
        if !prefix.is_empty() {
            context.ref_prefix(prefix).map_err(fail)?;
        }
        let mut packed = Vec::with_capacity(zstd::zstd_safe::compress_bound(self.json.len()));
        context.compress2(&mut packed, &self.json).map_err(fail)?;
        packed.shrink_to_fit();
        if packed.len() > PACKED_MAX { Err(VersionError::TooLarge) } else { Ok(packed) }
    }

    /// Inflates what [`DefinitionBytes::pack`] made, against the same base; any other bytes are refused.
    ///
    /// # Errors
    /// When they are damaged, or not those of the hash.
    pub fn unpack(packed: &[u8], base: Option<&Self>, hash: &VersionHash) -> Result<Self, VersionError> {
        let size = get_frame_content_size(packed).ok().flatten().ok_or(VersionError::Damaged)?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > DEFINITION_MAX || packed.len() > PACKED_MAX {
            return Err(VersionError::TooLarge);
        }
        let mut context = DCtx::create();
        let fail = |_| VersionError::Damaged;
        context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(fail)?;
        if let Some(base) = base {
            context.ref_prefix(&base.json).map_err(fail)?;
        }
        let mut json = Vec::with_capacity(size);
        context.decompress(&mut json, packed).map_err(fail)?;
        let found: VersionHash = Sha256::digest(&json).into();
        if found == *hash { Ok(Self { json, hash: found }) } else { Err(VersionError::Damaged) }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may stop at the first surprise")]
mod tests {
    use super::*;
    use crate::form::Pack;

    fn visit() -> FormDef {
        Pack::built_in().form("visit").unwrap().def().clone()
    }

    fn corrected() -> FormDef {
        let mut def = visit();
        def.version += 1;
        def.titles.0.insert("English (en)".to_owned(), "Visit, corrected".to_owned());
        def
    }

    #[test]
    fn a_definition_reads_back_whole_and_as_a_difference() {
        let (old, new) = (DefinitionBytes::of(&visit()).unwrap(), DefinitionBytes::of(&corrected()).unwrap());
        for base in [None, Some(&old)] {
            let packed = new.pack(base).unwrap();
            let read = DefinitionBytes::unpack(&packed, base, &new.hash()).unwrap();
            assert_eq!(read, new);
            assert_eq!(read.read().unwrap(), corrected());
        }
    }

    #[test]
    fn a_corrected_version_of_the_visit_form_costs_under_200_bytes() {
        let (old, new) = (DefinitionBytes::of(&visit()).unwrap(), DefinitionBytes::of(&corrected()).unwrap());
        let (whole, difference) = (new.pack(None).unwrap().len(), new.pack(Some(&old)).unwrap().len());
        assert!(difference < 200, "{difference} bytes");
        assert!(whole < 9_000, "{whole} bytes");
    }

    #[test]
    fn damaged_bytes_another_base_and_another_hash_are_refused() {
        let (old, new) = (DefinitionBytes::of(&visit()).unwrap(), DefinitionBytes::of(&corrected()).unwrap());
        let packed = new.pack(Some(&old)).unwrap();
        assert!(DefinitionBytes::unpack(&packed, None, &new.hash()).is_err());
        assert!(DefinitionBytes::unpack(&packed, Some(&new), &new.hash()).is_err());
        assert_eq!(DefinitionBytes::unpack(&packed, Some(&old), &old.hash()), Err(VersionError::Damaged));
        for at in 0..packed.len() {
            let mut bad = packed.clone();
            bad[at] ^= 1;
            let read = DefinitionBytes::unpack(&bad, Some(&old), &new.hash());
            assert!(read.is_err() || read.as_ref() == Ok(&new), "byte {at}");
        }
        for cut in 0..packed.len() {
            assert!(DefinitionBytes::unpack(&packed[..cut], Some(&old), &new.hash()).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_inflates() {
        let bomb = zstd::bulk::compress(&vec![b' '; DEFINITION_MAX + 1], 3).unwrap();
        assert_eq!(DefinitionBytes::unpack(&bomb, None, &[0; 32]), Err(VersionError::TooLarge));
    }
}
