//! Roles as data: what a person may read and write, by record type, sensitivity class, state and question.
//!
//! A role is a set of rights; a grant gives a role to a user for an area or for one subject, perhaps until a day. The roles
//! of the household pack come with the program (`forms/pack/roles.json`); a township's own ones replace those of the same
//! name. The server asks before it stores a change and before it sends a record; phones ask before they offer something.
//!
//! Rights add up. One that names a record type is looked at in place of those for all types (`*`).

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::form::Sensitivity;
use crate::form::text::LocalText;
use crate::record::key::{AnswerKey, Leaf};

mod standing;
#[cfg(test)]
mod tests;

pub use standing::{OPEN, Standing, StandingError};

/// Roles in one table, at most.
pub const ROLES_MAX: usize = 200;
/// Bytes of a table of roles as JSON, at most.
pub const ROLES_BYTES_MAX: usize = 256 << 10;

/// What somebody does to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Sees it.
    Read,
    /// Makes one.
    Create,
    /// Puts answers into one that is there.
    Edit,
    /// Puts it into another state, such as approved.
    SetState,
}

impl Action {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 4] = [Self::Read, Self::Create, Self::Edit, Self::SetState];

    /// The name in the table of roles.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Create => "create",
            Self::Edit => "edit",
            Self::SetState => "set_state",
        }
    }
}

/// A set of things that a role may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Right {
    /// Record types without class, such as `household`; `*` for all that no right of the role names.
    pub types: Vec<String>,
    /// Which documents of a form instance.
    pub classes: Vec<Sensitivity>,
    /// What.
    pub actions: Vec<Action>,
    /// Only while the record is in one of these states; empty: in any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<String>,
    /// Only these questions (`status`, `member/name`, `member/*`); empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// None of these questions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// For [`Action::SetState`]: the states that may be set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its name, such as `helper`.
    pub name: String,
    /// Its name for people.
    pub label: LocalText,
    /// What it may do.
    pub rights: Vec<Right>,
}

/// Which types a role reads in one class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readable {
    /// The class.
    pub class: Sensitivity,
    /// Types that are read.
    pub named: Vec<String>,
    /// Set when all others are read too but these.
    pub others_but: Option<Vec<String>>,
}

impl Readable {
    /// True when records of a type (with class: `household.sensitive`) are among these.
    pub fn covers(&self, record_type: &str) -> bool {
        let (base, class) = type_and_class(record_type);
        let has = |list: &[String]| list.iter().any(|t| t == base);
        class == Some(self.class) && (has(&self.named) || self.others_but.as_ref().is_some_and(|but| !has(but)))
    }
}

/// Why a table of roles can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RolesError {
    /// Not the JSON of a table.
    #[error("this isn't a table of roles: {0}")]
    Json(String),
    /// Too large.
    #[error("a table of roles has at most {ROLES_MAX} roles and {ROLES_BYTES_MAX} bytes")]
    TooLarge,
    /// A name that isn't one, or that stands twice.
    #[error("the role `{0}` stands twice or its name isn't made of small letters, digits and underscores")]
    Name(String),
}

/// The roles that there are, by name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Roles(BTreeMap<String, Arc<Role>>);

impl Roles {
    /// The roles that come with the program.
    pub fn builtin() -> &'static Arc<Self> {
        static BUILTIN: OnceLock<Arc<Roles>> = OnceLock::new();
        BUILTIN.get_or_init(|| {
            let roles = Self::from_json(include_str!("../forms/pack/roles.json"));
            // a test reads the file
            Arc::new(roles.unwrap_or_default())
        })
    }

    /// Reads a table: a JSON list of roles.
    pub fn from_json(json: &str) -> Result<Self, RolesError> {
        if json.len() > ROLES_BYTES_MAX {
            return Err(RolesError::TooLarge);
        }
        let list: Vec<Role> = serde_json::from_str(json).map_err(|e| RolesError::Json(e.to_string()))?;
        if list.len() > ROLES_MAX {
            return Err(RolesError::TooLarge);
        }
        let mut roles = Self::default();
        for role in list {
            let name = role.name.clone();
            let is_name = !name.is_empty()
                && name.len() <= 64
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if !is_name || roles.0.insert(name.clone(), Arc::new(role)).is_some() {
                return Err(RolesError::Name(name));
            }
        }
        Ok(roles)
    }

    /// The table as JSON, by name.
    pub fn to_json(&self) -> String {
        let list: Vec<&Role> = self.iter().collect();
        serde_json::to_string(&list).unwrap_or_default()
    }

    /// These roles, and of the others those that have another name.
    pub fn over(mut self, others: &Self) -> Self {
        for (name, role) in &others.0 {
            self.0.entry(name.clone()).or_insert_with(|| role.clone());
        }
        self
    }

    /// A role; one that isn't known may do nothing.
    pub fn get(&self, name: &str) -> Arc<Role> {
        static NOTHING: OnceLock<Arc<Role>> = OnceLock::new();
        let nothing = || Arc::new(Role { name: String::new(), label: LocalText::default(), rights: Vec::new() });
        self.0.get(name).unwrap_or_else(|| NOTHING.get_or_init(nothing)).clone()
    }

    /// True when there is a role of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// All roles, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Role> {
        self.0.values().map(|role| &**role)
    }
}

/// A record type taken apart: `household.sensitive` is the sensitive document of a `household`.
fn type_and_class(record_type: &str) -> (&str, Option<Sensitivity>) {
    match record_type.rsplit_once('.') {
        None => (record_type, Some(Sensitivity::Core)),
        Some((base, "sensitive")) => (base, Some(Sensitivity::Sensitive)),
        Some((base, "office")) => (base, Some(Sensitivity::Office)),
        // a class that this version doesn't know: nobody may
        Some((base, _)) => (base, None),
    }
}

impl Role {
    /// The rights that count for a record type with its class.
    fn rights_on<'a>(&'a self, record_type: &'a str) -> impl Iterator<Item = &'a Right> {
        let (base, class) = type_and_class(record_type);
        let names = move |right: &Right, name: &str| right.types.iter().any(|t| t == name);
        let named = self.rights.iter().any(|right| names(right, base));
        let wanted = if named { base } else { "*" };
        let fits = move |right: &&Right| names(right, wanted) && class.is_some_and(|c| right.classes.contains(&c));
        self.rights.iter().filter(fits)
    }

    /// True when records of this type (with class: `household.sensitive`) may be read.
    pub fn reads(&self, record_type: &str) -> bool {
        self.rights_on(record_type).any(|right| right.actions.contains(&Action::Read))
    }

    /// What the role reads, class by class, for a database to look for.
    pub fn readable(&self) -> Vec<Readable> {
        let reads = |right: &&Right, class| right.actions.contains(&Action::Read) && right.classes.contains(&class);
        let every: Vec<&String> = self.rights.iter().flat_map(|right| &right.types).filter(|t| *t != "*").collect();
        let of = |class| {
            let read = self.rights.iter().filter(|right| reads(right, class)).flat_map(|right| &right.types);
            let (stars, named): (Vec<&String>, Vec<&String>) = read.partition(|t| *t == "*");
            let owned = |names: &[&String]| names.iter().map(|t| (*t).clone()).collect::<Vec<_>>();
            let others_but = (!stars.is_empty()).then(|| owned(&every));
            Readable { class, named: owned(&named), others_but }
        };
        [Sensitivity::Core, Sensitivity::Sensitive, Sensitivity::Office].into_iter().map(of).collect()
    }

    /// True when every record of every type and class may be read.
    pub fn reads_all(&self) -> bool {
        let all = [Sensitivity::Core, Sensitivity::Sensitive, Sensitivity::Office];
        let reads = |name: &str| {
            let of_type = |right: &&Right| right.types.iter().any(|t| t == name);
            let readable = |class: &Sensitivity| {
                let mut rights = self.rights.iter().filter(of_type);
                rights.any(|right| right.classes.contains(class) && right.actions.contains(&Action::Read))
            };
            all.iter().all(readable)
        };
        reads("*") && self.rights.iter().flat_map(|right| &right.types).all(|name| reads(name))
    }

    /// True when a record of this type may be made, or edited while it is in this state, in the answer under this key.
    pub fn writes(&self, action: Action, record_type: &str, state: &str, key: &str) -> bool {
        let path = path_of(key);
        self.rights_on(record_type).any(|right| {
            right.actions.contains(&action)
                && right.is_in(state)
                && path.as_deref().is_some_and(|path| right.covers(path))
        })
    }

    /// True when the action may be done in this state at all, whatever the question.
    pub fn may(&self, action: Action, record_type: &str, state: &str) -> bool {
        self.rights_on(record_type).any(|right| right.actions.contains(&action) && right.is_in(state))
    }

    /// True when a record of this type may be put from one state into another.
    pub fn sets_state(&self, record_type: &str, from: &str, to: &str) -> bool {
        let sets = |right: &Right| right.actions.contains(&Action::SetState) && right.to.iter().any(|t| t == to);
        self.rights_on(record_type).any(|right| sets(right) && right.is_in(from))
    }
}

impl Right {
    fn is_in(&self, state: &str) -> bool {
        self.states.is_empty() || self.states.iter().any(|s| s == state)
    }

    fn covers(&self, path: &str) -> bool {
        let names = |list: &[String]| list.iter().any(|pattern| matches(pattern, path));
        (self.only.is_empty() || names(&self.only)) && !names(&self.except)
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => pattern == path,
    }
}

/// The question that an answer's key belongs to, with the repeats around it: `member/name` of `member#a1/name`. The order and
/// the removal of an instance belong to `member/@order` and `member/@deleted`.
fn path_of(key: &str) -> Option<String> {
    let parsed = AnswerKey::parse(key)?;
    let mut path = String::new();
    for (repeat, _) in &parsed.instances {
        path.push_str(repeat);
        path.push('/');
    }
    path.push_str(match parsed.leaf {
        Leaf::Question(question) | Leaf::Tick { question, .. } => question,
        Leaf::Order => "@order",
        Leaf::Deleted => "@deleted",
    });
    Some(path)
}
