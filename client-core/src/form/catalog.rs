//! Which forms there are: the published versions over the built-in pack.
//!
//! New records are made with the newest version that isn't retired; a record made with an older one is read with that
//! one. A published form counts before a built-in one of its name, whatever their numbers.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::index::Form;
use super::model::{Files, Model};
use super::pack::Pack;
use super::session::Rules;
use super::version::{DefinitionBytes, VersionError, VersionHash};
use crate::clock::Millis;
use crate::record::FormRef;

/// A published version of a form, or a built-in one that was retired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The form's name.
    pub name: String,
    /// The version.
    pub version: u32,
    /// SHA-256 of its definition's bytes.
    pub hash: VersionHash,
    /// Not offered for new records.
    pub retired: bool,
    /// When it was published (or, built-in, retired), by the server's clock.
    pub published_ms: Millis,
    /// Its definition, packed whole; `None` while it is missing, and where it is a built-in one.
    pub packed: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Listed {
    version: Version,
    form: OnceLock<Result<Arc<Form>, VersionError>>,
}

impl Listed {
    fn form(&self) -> Result<&Arc<Form>, VersionError> {
        let read = || {
            let Some(packed) = &self.version.packed else {
                return built_in(&self.version.name, self.version.version).ok_or(VersionError::Damaged);
            };
            let def = DefinitionBytes::unpack(packed, None, &self.version.hash)?.read()?;
            let is_named = def.name == self.version.name && def.version == self.version.version;
            if is_named { Ok(Arc::new(Form::new(def))) } else { Err(VersionError::Damaged) }
        };
        self.form.get_or_init(read).as_ref().map_err(|error| *error)
    }
}

/// A form with its logic; no model where that can't be run.
#[derive(Debug)]
struct Compiled {
    form: Arc<Form>,
    model: Option<Arc<Model>>,
    rules: OnceLock<Option<Arc<Rules>>>,
}

/// The published forms over the built-in pack. Definitions are read, and their logic compiled, when they are first asked for.
#[derive(Debug, Default)]
pub struct Catalog {
    listed: Vec<Listed>,
    compiled: RwLock<Vec<Arc<Compiled>>>,
}

fn built_in(name: &str, version: u32) -> Option<Arc<Form>> {
    Pack::built_in().forms().iter().find(|f| f.name == name && f.version == version).cloned()
}

impl Catalog {
    /// A catalog of these versions, in the order in which they were published.
    pub fn new(versions: Vec<Version>) -> Self {
        let listed = versions.into_iter().map(|version| Listed { version, form: OnceLock::new() }).collect();
        Self { listed, compiled: RwLock::default() }
    }

    /// One of this catalog's forms ready to run, with the lists that it carries; `None` where its logic is broken. It is compiled
    /// once.
    pub fn model(&self, form: &Arc<Form>) -> Option<Arc<Model>> {
        self.compiled(form).model.clone()
    }

    /// The same, ready to check merged records.
    pub fn rules(&self, form: &Arc<Form>) -> Option<Arc<Rules>> {
        let compiled = self.compiled(form);
        let rules = || compiled.model.clone().map(|model| Arc::new(Rules::of(model)));
        compiled.rules.get_or_init(rules).clone()
    }

    fn compiled(&self, form: &Arc<Form>) -> Arc<Compiled> {
        let known = |all: &[Arc<Compiled>]| all.iter().find(|c| Arc::ptr_eq(&c.form, form)).cloned();
        if let Some(known) = known(&self.compiled.read().unwrap_or_else(PoisonError::into_inner)) {
            return known;
        }
        let model = Model::with_files(Arc::clone(form), &Files::new()).ok().map(Arc::new);
        let made = Arc::new(Compiled { form: Arc::clone(form), model, rules: OnceLock::new() });
        let mut all = self.compiled.write().unwrap_or_else(PoisonError::into_inner);
        known(&all).unwrap_or_else(|| {
            all.push(made.clone());
            made
        })
    }

    /// The published versions, in order.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        self.listed.iter().map(|l| &l.version)
    }

    /// Versions that can't be used, and why. They keep nothing else from being used.
    pub fn unreadable(&self) -> Vec<(&Version, VersionError)> {
        self.listed.iter().filter_map(|l| l.form().err().map(|error| (&l.version, error))).collect()
    }

    /// The form of this name for new records: the newest published version that isn't retired and can be read, else the
    /// built-in one, unless it is retired.
    pub fn newest(&self, name: &str) -> Option<Arc<Form>> {
        let published = self.listed.iter().filter(|l| l.version.name == name && l.version.packed.is_some());
        let mut usable: Vec<&Listed> = published.filter(|l| !l.version.retired).collect();
        usable.sort_by_key(|l| std::cmp::Reverse(l.version.version));
        if let Some(form) = usable.into_iter().find_map(|l| l.form().ok()) {
            return Some(form.clone());
        }
        let built_in = Pack::built_in().forms().iter().find(|f| f.name == name)?;
        let retired = |l: &Listed| l.version.name == name && l.version.version == built_in.version && l.version.retired;
        (!self.listed.iter().any(retired)).then(|| built_in.clone())
    }

    /// A version of a form, retired or not.
    pub fn named(&self, name: &str, version: u32) -> Option<Arc<Form>> {
        let listed = self.listed.iter().find(|l| l.version.name == name && l.version.version == version);
        match listed {
            Some(listed) => listed.form().ok().cloned(),
            None => built_in(name, version),
        }
    }

    /// The forms for new records, by name.
    pub fn current(&self) -> Vec<Arc<Form>> {
        let published = self.listed.iter().map(|l| l.version.name.as_str());
        let names: BTreeSet<&str> = published.chain(Pack::built_in().forms().iter().map(|f| f.name.as_str())).collect();
        names.into_iter().filter_map(|name| self.newest(name)).collect()
    }

    /// The types of records that there are forms for.
    pub fn record_types(&self) -> BTreeSet<String> {
        let published = self.listed.iter().filter_map(|l| l.form().ok());
        published.chain(Pack::built_in().forms()).map(|form| form.record_type.clone()).collect()
    }

    /// The form that reads and edits records of this type: the one of the type's own name, else the built-in one, else the one
    /// published last. A type whose forms are all retired is still read with the newest of them.
    pub fn of_type(&self, record_type: &str) -> Option<Arc<Form>> {
        if let Some(form) = self.newest(record_type).filter(|f| f.record_type == record_type) {
            return Some(form);
        }
        let built_in = Pack::built_in().forms().iter().find(|f| f.record_type == record_type);
        if let Some(form) = built_in.and_then(|f| self.newest(&f.name)).filter(|f| f.record_type == record_type) {
            return Some(form);
        }
        let last_first = || self.listed.iter().rev();
        let readable = |l: &Listed| l.form().ok().filter(|f| f.record_type == record_type).cloned();
        let offered = last_first().filter(|l| !l.version.retired).find_map(readable);
        offered.or_else(|| last_first().find_map(readable)).or_else(|| built_in.cloned())
    }

    /// The form that a change was made with, by its note; else the one for records of this type.
    pub fn of_change(&self, form: Option<&FormRef>, record_type: &str) -> Option<Arc<Form>> {
        let named = form.and_then(|f| self.named(&f.name, f.version)).filter(|f| f.record_type == record_type);
        named.or_else(|| self.of_type(record_type))
    }

    /// All versions that make records of this type or have this name, built-in ones included: what a new one must fit.
    pub fn kin(&self, name: &str, record_type: &str) -> Vec<Arc<Form>> {
        let published = self.listed.iter().filter_map(|l| l.form().ok().cloned());
        let all = published.chain(Pack::built_in().forms().iter().cloned());
        all.filter(|f| f.record_type == record_type || f.name == name).collect()
    }

    /// The number that the next version of a form gets: above every published and built-in one.
    pub fn next_version(&self, name: &str) -> u32 {
        let published = self.listed.iter().filter(|l| l.version.name == name).map(|l| l.version.version);
        let built_in = Pack::built_in().forms().iter().filter(|f| f.name == name).map(|f| f.version);
        published.chain(built_in).max().unwrap_or(0).saturating_add(1)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may stop at the first surprise")]
mod tests {
    use super::*;
    use crate::form::FormDef;

    fn published(name: &str, version: u32, change: impl FnOnce(&mut FormDef)) -> Version {
        let mut def = Pack::built_in().form("visit").unwrap().def().clone();
        (def.name, def.version) = (name.to_owned(), version);
        change(&mut def);
        let bytes = DefinitionBytes::of(&def).unwrap();
        let (hash, packed) = (bytes.hash(), Some(bytes.pack(None).unwrap()));
        Version { name: name.to_owned(), version, hash, retired: false, published_ms: 0, packed }
    }

    #[test]
    fn the_newest_version_that_is_not_retired_is_for_new_records_and_all_stay_readable() {
        let third = Version { retired: true, ..published("visit", 3, |_| {}) };
        let catalog = Catalog::new(vec![published("visit", 2, |_| {}), third]);
        assert_eq!(catalog.newest("visit").unwrap().version, 2);
        for version in 1..=3 {
            assert_eq!(catalog.named("visit", version).unwrap().version, version);
        }
        assert!(catalog.named("visit", 4).is_none());
        assert_eq!((catalog.next_version("visit"), catalog.next_version("survey")), (4, 1));
        assert_eq!(catalog.current().len(), Pack::built_in().forms().len());
    }

    #[test]
    fn the_rules_of_a_form_are_compiled_once() {
        let catalog = Catalog::new(vec![published("visit", 2, |_| {})]);
        let form = catalog.newest("visit").unwrap();
        let rules = catalog.rules(&form).unwrap();
        assert!(Arc::ptr_eq(&rules, &catalog.rules(&form).unwrap()));
        let household = catalog.newest("household").unwrap();
        assert_eq!(catalog.rules(&household).unwrap().model().form().name, "household");
    }

    #[test]
    fn a_retired_built_in_form_is_not_offered_and_still_reads_its_records() {
        let version = Pack::built_in().form("visit").unwrap().version;
        let retired = Version { retired: true, packed: None, ..published("visit", version, |_| {}) };
        let catalog = Catalog::new(vec![retired]);
        assert!(catalog.newest("visit").is_none());
        assert_eq!(catalog.named("visit", version).unwrap().version, version);
        assert_eq!(catalog.of_type("visit").unwrap().name, "visit");
        assert!(catalog.current().iter().all(|f| f.name != "visit"));
    }

    #[test]
    fn a_version_that_can_not_be_read_gives_way_to_the_one_before() {
        let newer = published("visit", 3, |def| def.titles.0.clear());
        let damaged = Version { packed: Some(vec![1, 2, 3]), ..newer.clone() };
        let missing = Version { version: 4, packed: None, ..newer };
        let catalog = Catalog::new(vec![published("visit", 2, |_| {}), damaged, missing]);
        assert_eq!(catalog.newest("visit").unwrap().version, 2);
        assert!(catalog.named("visit", 3).is_none() && catalog.named("visit", 4).is_none());
        let unreadable: Vec<u32> = catalog.unreadable().iter().map(|(v, _)| v.version).collect();
        assert_eq!(unreadable, [3, 4]);
    }

    #[test]
    fn a_change_is_read_with_the_version_that_it_was_made_with() {
        let catalog = Catalog::new(vec![published("visit", 2, |_| {}), published("visit", 3, |_| {})]);
        let made_with = |version| FormRef { name: "visit".to_owned(), version };
        assert_eq!(catalog.of_change(Some(&made_with(2)), "visit").unwrap().version, 2);
        assert_eq!(catalog.of_change(Some(&made_with(9)), "visit").unwrap().version, 3);
        assert_eq!(catalog.of_change(Some(&made_with(2)), "household").unwrap().name, "household");
        assert_eq!(catalog.of_change(None, "visit").unwrap().version, 3);
        assert!(catalog.of_change(None, "unknown").is_none());
    }
}
