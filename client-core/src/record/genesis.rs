//! The derived first change of every record: it makes the maps, holds type and key, and never travels.
//!
//! Its bytes are frozen: any difference between two devices would split the record for good.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{Automerge, AutomergeError, ObjId, ObjType, ROOT, ReadDoc};

use crate::id::{ChangeHash, Identity};

use super::{Section, limits};

/// The counters of the maps in the first change: they follow from the order of its operations.
const ANSWERS: u64 = 1;
const EVENTS: u64 = 2;
const FILES: u64 = 3;

/// A document that holds the first change alone, and what is known of it.
#[derive(Debug)]
pub(super) struct Genesis {
    pub doc: Automerge,
    pub hash: ChangeHash,
    pub actor: automerge::ActorId,
    maps: [ObjId; 3],
}

static CACHE: Mutex<BTreeMap<Identity, Arc<Genesis>>> = Mutex::new(BTreeMap::new());

impl Genesis {
    /// The first change of `identity`, kept for the next time.
    pub fn of(identity: &Identity) -> Arc<Self> {
        if let Some(genesis) = CACHE.lock().unwrap_or_else(PoisonError::into_inner).get(identity) {
            return genesis.clone();
        }
        let genesis = Arc::new(Self::make(identity));
        let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= limits::CACHED_FIRST_CHANGES {
            cache.clear();
        }
        cache.insert(identity.clone(), genesis.clone());
        genesis
    }

    #[expect(clippy::expect_used, reason = "a fixed list of operations on an empty document can't fail")]
    fn make(identity: &Identity) -> Self {
        let actor = automerge::ActorId::from(&identity.genesis_actor().0[..]);
        let mut doc = Automerge::new().with_actor(actor.clone());
        let maps = Self::write(&mut doc, identity).expect("the first change can be made");
        let hash = doc.get_heads().first().map_or([0; 32], |h| h.0);
        Self { doc, hash: ChangeHash(hash), actor, maps }
    }

    fn write(doc: &mut Automerge, identity: &Identity) -> Result<[ObjId; 3], AutomergeError> {
        let mut tx = doc.transaction();
        let maps = [
            tx.put_object(ROOT, "answers", ObjType::Map)?,
            tx.put_object(ROOT, "events", ObjType::Map)?,
            tx.put_object(ROOT, "files", ObjType::Map)?,
        ];
        let meta = tx.put_object(ROOT, "meta", ObjType::Map)?;
        tx.put(&meta, "type", identity.record_type.as_str())?;
        for (i, part) in identity.key.iter().enumerate() {
            tx.put(&meta, format!("k{i}"), part.to_string())?;
        }
        tx.commit_with(CommitOptions::default().with_time(0));
        Ok(maps)
    }

    /// The map of a section.
    pub fn map(&self, section: Section) -> &ObjId {
        &self.maps[section as usize]
    }

    /// The counter of a section's map in the first change.
    pub fn counter(section: Section) -> u64 {
        match section {
            Section::Answers => ANSWERS,
            Section::Events => EVENTS,
            Section::Files => FILES,
        }
    }

    /// The section whose map has this counter in the first change.
    pub fn section(counter: u64) -> Option<Section> {
        match counter {
            ANSWERS => Some(Section::Answers),
            EVENTS => Some(Section::Events),
            FILES => Some(Section::Files),
            _ => None,
        }
    }

    /// The first change's raw bytes.
    pub fn raw(&self) -> Vec<u8> {
        self.doc
            .get_change_by_hash(&automerge::ChangeHash(self.hash.0))
            .map(|c| c.raw_bytes().to_vec())
            .unwrap_or_default()
    }
}
