//! Publishing and retiring forms, and what of them a phone is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use doorstep_core::clock::Millis;
use doorstep_core::form::attachment;
use doorstep_core::form::compare::{Break, breaks};
use doorstep_core::form::entity::record_type;
use doorstep_core::form::version::DefinitionBytes;
use doorstep_core::form::{Catalog, ChoiceSource, Form, FormDef, Pack, PhoneList, QuestionKind, Version};
use doorstep_core::id::Identity;
use doorstep_core::protocol::{FormBytes, FormEntry, FormsKnown, FormsNews, Position, ReplyFrame, forms, limits};

mod error;

pub use error::FormError;

use super::Service;
use super::audit::{Action, Actor, form_act};
use crate::storage::forms::head;
use crate::storage::{FormChange, FormLogEntry, StorageError, Write};

/// Tries when somebody else publishes meanwhile.
const TRIES: usize = 20;
/// How much of what a form would break is told at once.
const BREAKS_SHOWN: usize = 20;

/// Files to attach to a form, by name.
pub type AttachedFiles = BTreeMap<String, Vec<u8>>;

/// What publishing came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The version.
    pub version: u32,
    /// False: the newest version says the same, and nothing was published.
    pub is_new: bool,
    /// Bytes of the definition, compressed.
    pub whole: usize,
    /// Bytes that travel to a phone with the version before, if they are fewer.
    pub difference: Option<usize>,
}

/// The catalog of the log as it was last read.
#[derive(Debug, Default)]
pub(super) struct CatalogCache(Mutex<Option<(Position, Arc<Catalog>)>>);

impl Service {
    /// The forms as they were last seen, without asking the database: every reply that is begun sees the newest ones.
    pub(super) fn forms_seen(&self) -> Result<Arc<Catalog>, StorageError> {
        let kept =
            self.catalog.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(_, known)| known.clone());
        kept.map_or_else(|| self.forms(), Ok)
    }

    /// The published forms over the built-in ones.
    pub fn forms(&self) -> Result<Arc<Catalog>, StorageError> {
        Ok(self.catalog_of(&self.storage.form_log()?))
    }

    /// The catalog of a log that was just read.
    pub(super) fn catalog_of(&self, log: &[FormLogEntry]) -> Arc<Catalog> {
        let mut kept = self.catalog.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((at, catalog)) if *at == head(log) => catalog.clone(),
            _ => {
                let catalog = Arc::new(Catalog::new(versions(log)));
                *kept = Some((head(log), catalog.clone()));
                catalog
            }
        }
    }

    /// Publishes a form with the files attached to it: those that it needs, by name; others are left out.
    ///
    /// # Errors
    /// As [`Service::publish_form`], and when a file is missing or can't be read.
    pub fn publish_with(&self, actor: Actor, mut def: FormDef, files: &AttachedFiles) -> Result<Published, FormError> {
        let needed: Vec<String> = attachment::missing(&def).into_iter().map(str::to_owned).collect();
        for name in needed {
            if let Some(bytes) = files.get(&name) {
                attachment::attach(&mut def, &name, bytes)?;
            }
        }
        self.publish_form(actor, def)
    }

    /// Publishes a form as its next version, whatever number it brings; nothing new is no new version.
    ///
    /// # Errors
    /// When it has faults, is too large, lacks a list, or doesn't fit the records that are there.
    pub fn publish_form(&self, actor: Actor, mut def: FormDef) -> Result<Published, FormError> {
        default_record_type(&mut def);
        check(&def)?;
        self.check_lists(&def)?;
        for _ in 0..TRIES {
            let (log, catalog) = (self.storage.form_log()?, self.forms()?);
            let newest = versions(&log).into_iter().rfind(|v| v.name == def.name && v.packed.is_some());
            let before = newest.as_ref().and_then(|v| catalog.named(&v.name, v.version));
            if let (Some(newest), Some(before)) = (&newest, &before) {
                def.version = newest.version;
                if *before.def() == def && !newest.retired {
                    let whole = newest.packed.as_ref().map_or(0, Vec::len);
                    return Ok(Published { version: def.version, is_new: false, whole, difference: None });
                }
            }
            def.version = catalog.next_version(&def.name);
            let form = Form::new(def.clone());
            let kin = catalog.kin(&def.name, &def.record_type);
            let mut broken: Vec<Break> = kin.iter().flat_map(|old| breaks(old, &form)).collect();
            if !broken.is_empty() {
                broken.truncate(BREAKS_SHOWN);
                return Err(FormError::Breaks(broken));
            }
            let built_in = Pack::built_in().forms().iter().find(|f| f.name == def.name);
            let change = publication(&def, before.as_ref().or(built_in), self.clock.now_ms())?;
            let whole = change.definition.as_ref().map_or(0, Vec::len);
            let difference = change.difference.as_ref().map(|d| d.packed.len());
            let act = form_act(Action::FormPublished, &def.name, def.version);
            if self.act(actor, act, [Write::Form(head(&log), change)])? {
                return Ok(Published { version: def.version, is_new: true, whole, difference });
            }
        }
        Err(FormError::Busy)
    }

    /// All lists that the form needs must be with it, with the names of choices in them, but for those that each phone makes.
    fn check_lists(&self, def: &FormDef) -> Result<(), FormError> {
        let catalog = self.forms()?;
        let current = catalog.current();
        let declared: BTreeSet<String> = current
            .iter()
            .flat_map(|form| form.entity_lists())
            .chain(def.entity_lists())
            .filter_map(|list| record_type(&list.name))
            .collect();
        let on_phone = |name: &&str| match PhoneList::named(name) {
            Some(PhoneList::Records(named)) => catalog.of_type(&named).is_some() || declared.contains(&named),
            Some(PhoneList::Areas | PhoneList::AllAreas | PhoneList::OfSubject(_)) => true,
            None => false,
        };
        let missing: Vec<String> =
            attachment::missing(def).into_iter().filter(|n| !on_phone(n)).map(str::to_owned).collect();
        if !missing.is_empty() {
            return Err(FormError::MissingFiles(missing));
        }
        let form = Form::new(def.clone());
        for question in form.questions().iter().map(|placed| placed.question) {
            let Some(ChoiceSource::File(file)) = &question.choices else { continue };
            if !form.attached().contains_key(file) {
                continue;
            }
            let (file, question_name) = (file.clone(), question.name.clone());
            let Some(names) = form.choice_names(question) else {
                let column = question.parameters.get("value").map_or("name", String::as_str).to_owned();
                return Err(FormError::MissingColumn { file, column, question: question_name });
            };
            let unfit = |name: &str| name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '/');
            let bad = names.iter().find(|name| question.kind == QuestionKind::SelectMultiple && unfit(name));
            if let Some(name) = bad {
                return Err(FormError::BadChoice { file, name: name.to_string(), question: question_name });
            }
        }
        Ok(())
    }

    /// Retires a version, published or built-in: it isn't offered for new records any more. False: it was retired before.
    ///
    /// # Errors
    /// When there is no such version.
    pub fn retire_form(&self, actor: Actor, name: &str, version: u32) -> Result<bool, FormError> {
        for _ in 0..TRIES {
            let (log, catalog) = (self.storage.form_log()?, self.forms()?);
            let listed = catalog.versions().find(|v| v.name == name && v.version == version);
            if listed.is_some_and(|v| v.retired) {
                return Ok(false);
            }
            let hash = match (listed, catalog.named(name, version)) {
                (Some(listed), _) => listed.hash,
                (None, Some(built_in)) => DefinitionBytes::of(built_in.def())?.hash(),
                (None, None) => return Err(FormError::Unknown { name: name.to_owned(), version }),
            };
            let at_ms = self.clock.now_ms();
            let act = form_act(Action::FormRetired, name, version);
            let (name, definition, difference) = (name.to_owned(), None, None);
            let change = FormChange { name, version, hash, retired: true, at_ms, definition, difference };
            if self.act(actor, act, [Write::Form(head(&log), change)])? {
                return Ok(true);
            }
        }
        Err(FormError::Busy)
    }
}

/// Entries of the log as versions, in the order in which they were published.
fn versions(log: &[FormLogEntry]) -> Vec<Version> {
    let mut all: Vec<Version> = Vec::new();
    for FormLogEntry { change, .. } in log {
        let known = all.iter_mut().find(|v| v.name == change.name && v.version == change.version);
        if let Some(known) = known {
            known.retired = change.retired;
            continue;
        }
        all.push(Version {
            name: change.name.clone(),
            version: change.version,
            hash: change.hash,
            retired: change.retired,
            published_ms: change.at_ms,
            packed: change.definition.clone(),
        });
    }
    all
}

/// An XLSForm's id is the type of its records where it names none; capitals and signs have no place in a type.
fn default_record_type(def: &mut FormDef) {
    if def.record_type == def.name {
        let fit = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        def.record_type = def.name.chars().map(fit).collect();
    }
}

fn check(def: &FormDef) -> Result<(), FormError> {
    let of_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if def.name.is_empty() || def.name.len() > forms::NAME_MAX || !def.name.bytes().all(of_name) {
        return Err(FormError::Name(def.name.clone()));
    }
    let record_type = &def.record_type;
    if record_type.len() > 48 || record_type.contains('.') || !Identity::of_type(record_type).is_valid() {
        return Err(FormError::RecordType(record_type.clone()));
    }
    let faults = def.validate();
    if faults.is_empty() { Ok(()) } else { Err(FormError::Faulty(faults)) }
}

/// The entry that publishes a definition: whole, and as a difference against the version before where that is smaller.
fn publication(def: &FormDef, before: Option<&Arc<Form>>, at_ms: Millis) -> Result<FormChange, FormError> {
    let bytes = DefinitionBytes::of(def)?;
    let whole = bytes.pack(None)?;
    let base = before.map(|form| DefinitionBytes::of(form.def())).transpose()?;
    let packed = base.as_ref().map(|base| bytes.pack(Some(base))).transpose()?;
    let difference = packed
        .filter(|packed| packed.len() + 32 < whole.len())
        .map(|packed| FormBytes { base: base.as_ref().map(DefinitionBytes::hash), packed });
    let (name, version, hash) = (def.name.clone(), def.version, bytes.hash());
    Ok(FormChange { name, version, hash, retired: false, at_ms, definition: Some(whole), difference })
}

/// The frames that a phone gets: what it asks for again, whole, and what follows the entry that it knows. Where that isn't
/// an entry of this log (a restored backup), the log from its start.
pub(super) fn news(log: &[FormLogEntry], known: &FormsKnown) -> Vec<ReplyFrame> {
    let start = log.iter().rposition(|e| e.position == known.position).map_or(0, |at| at + 1);
    let from = if start == 0 { Position::default() } else { known.position };
    let versions = if known.wanted.is_empty() { Vec::new() } else { versions(log) };
    let again = known.wanted.iter().filter_map(|(name, version)| {
        let found = versions.iter().find(|v| v.name == *name && v.version == *version)?;
        Some((from, entry_of(found)?))
    });
    let following = log[start..].iter().map(|e| (e.position, entry(&e.change)));
    let mut frames = Vec::new();
    let (mut part, mut bytes) = (FormsNews::default(), 0);
    for (position, entry) in again.chain(following) {
        bytes += entry.definition.as_ref().map_or(0, |d| d.packed.len()) + 100;
        part.position = position;
        part.entries.push(entry);
        if bytes >= limits::FRAME_FORMS_TARGET {
            frames.push(ReplyFrame::Forms(std::mem::take(&mut part)));
            bytes = 0;
        }
    }
    if !part.entries.is_empty() {
        frames.push(ReplyFrame::Forms(part));
    }
    frames
}

fn entry(change: &FormChange) -> FormEntry {
    let whole = || change.definition.clone().map(|packed| FormBytes { base: None, packed });
    FormEntry {
        name: change.name.clone(),
        version: change.version,
        hash: change.hash,
        retired: change.retired,
        at_ms: change.at_ms,
        definition: change.difference.clone().or_else(whole),
    }
}

fn entry_of(version: &Version) -> Option<FormEntry> {
    let definition = Some(FormBytes { base: None, packed: version.packed.clone()? });
    Some(FormEntry {
        name: version.name.clone(),
        version: version.version,
        hash: version.hash,
        retired: version.retired,
        at_ms: version.published_ms,
        definition,
    })
}
