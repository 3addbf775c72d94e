//! The derived first change of every record: it makes the maps, holds type and key, and never travels.
//!
//! Its bytes are frozen: any difference between two devices would split the record for good.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};

use automerge::legacy::{Key, ObjectId, Op, OpId, OpType, SortedVec};
use automerge::{Change, ExpandedChange, ObjType, ScalarValue};

use crate::id::{ChangeHash, Identity};

use super::{Section, limits};

/// The counters of the maps in the first change: they follow from the order of its operations.
const ANSWERS: u64 = 1;
const EVENTS: u64 = 2;
const FILES: u64 = 3;
const META: u64 = 4;

/// The first change, and what is known of it.
#[derive(Debug)]
pub(super) struct Genesis {
    pub hash: ChangeHash,
    pub actor: automerge::ActorId,
    /// Its last operation's counter.
    pub max_op: u64,
    /// Its raw bytes.
    pub raw: Vec<u8>,
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

    fn make(identity: &Identity) -> Self {
        let actor = automerge::ActorId::from(&identity.genesis_actor().0[..]);
        let op = |obj, key: String, action| Op {
            action,
            obj,
            key: Key::Map(key.into()),
            pred: SortedVec::new(),
            insert: false,
        };
        let map = |name: &str| op(ObjectId::Root, name.to_owned(), OpType::Make(ObjType::Map));
        let meta = ObjectId::Id(OpId(META, actor.clone()));
        let fact = |key: String, value: String| op(meta.clone(), key, OpType::Put(ScalarValue::Str(value.into())));
        let mut operations = vec![map("answers"), map("events"), map("files"), map("meta")];
        operations.push(fact("type".to_owned(), identity.record_type.clone()));
        let parts = identity.key.iter().enumerate();
        operations.extend(parts.map(|(i, part)| fact(format!("k{i}"), part.to_string())));
        let max_op = operations.len() as u64;
        let change = Change::from(ExpandedChange {
            operations,
            actor_id: actor.clone(),
            hash: None,
            seq: 1,
            start_op: NonZeroU64::MIN,
            time: 0,
            message: None,
            deps: Vec::new(),
            extra_bytes: Vec::new(),
            author: None,
        });
        Self { hash: ChangeHash(change.hash().0), actor, max_op, raw: change.raw_bytes().to_vec() }
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
}
