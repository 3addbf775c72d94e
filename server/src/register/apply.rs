//! Importing: what was planned is written by the office, in batches, so that an interrupted import goes on where it was.

use std::collections::HashMap;
use std::sync::Arc;

use doorstep_core::id::{Identity, RecordId, UserId};
use serde::Serialize;

use super::planned::{Planned, State};
use super::{Counts, RegisterError, Table};
use crate::service::Service;
use crate::service::audit::Actor;
use crate::service::office::{FormInstance, Office};
use crate::storage::TownshipId;
use crate::storage::register::{ImportDevice, ImportState, NewImport};

/// Old imports among which one that was interrupted is looked for.
const LOOKED_FOR: u32 = 100;

/// What an import did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Its number; `None` when there was nothing to write.
    pub no: Option<u64>,
    /// Households.
    pub households: Counts,
    /// Persons.
    pub persons: Counts,
    /// Changes written.
    pub changes: usize,
}

/// An import under way.
struct Running<'a> {
    service: &'a Arc<Service>,
    township: TownshipId,
    import: NewImport,
    actor: Actor,
    begun: Option<(u64, Office)>,
}

impl Running<'_> {
    /// Begins with the first write: an import that changes nothing leaves no trace.
    fn begin(&mut self) -> Result<&(u64, Office), RegisterError> {
        let begun = match self.begun.take() {
            Some(begun) => begun,
            None => {
                let no = super::begin_import(self.service, self.township, &self.import, self.actor)?;
                let office = Office::start(self.service, self.import.user, self.township)?;
                let device = ImportDevice { no, device: office.device(), undoes: false };
                self.service.storage.note_import_device(self.township, device)?;
                (no, office)
            }
        };
        Ok(self.begun.insert(begun))
    }

    fn write(
        &mut self,
        instances: &[FormInstance],
        creates: &[(RecordId, bool)],
        upto: Option<u64>,
    ) -> Result<usize, RegisterError> {
        if instances.is_empty() {
            return Ok(0);
        }
        let (service, township) = (self.service, self.township);
        let (no, office) = self.begin()?;
        service.storage.note_import_records(township, *no, creates)?;
        Ok(office.write_as_of(instances, upto)?)
    }
}

impl Table {
    /// Imports the good households. With a preview's token it edits at what the preview showed: what others changed since
    /// shows as a difference.
    pub fn import(
        &self,
        service: &Arc<Service>,
        user: UserId,
        file_name: &str,
        token: Option<&str>,
        actor: Actor,
    ) -> Result<Imported, RegisterError> {
        let upto = token.map(|token| self.shown_upto(token)).transpose()?;
        let (planner, groups) = self.plan(service, upto)?;
        let import = NewImport {
            kind: super::HOUSEHOLDS.to_owned(),
            file_name: super::short_name(file_name),
            file_hash: self.fingerprint,
            user,
            started_ms: service.clock.now_ms(),
        };
        let mut running = Running { service, township: self.township, import, actor, begun: None };
        let mut imported = Imported::default();
        let mut notes = groups.notes;
        planner.walk(groups.list, &mut notes, &mut |households| {
            for household in &households {
                imported.households.add(household.state);
                household.persons.iter().for_each(|p| imported.persons.add(p.state));
            }
            let (instances, creates) = self.instances(&households);
            imported.changes += running.write(&instances, &creates, upto)?;
            Ok(())
        })?;
        self.finish(running, &mut imported)?;
        Ok(imported)
    }

    /// The form instances of a chunk in the table's order, rows of one household together.
    fn instances(&self, households: &[Planned]) -> (Vec<FormInstance>, Vec<(RecordId, bool)>) {
        let mut instances: Vec<FormInstance> = Vec::new();
        let mut creates = Vec::new();
        let mut places: HashMap<RecordId, usize> = HashMap::new();
        for household in households.iter().filter(|h| matches!(h.state, State::New | State::Changed)) {
            let Some(id) = household.record else { continue };
            let at = *places.entry(id).or_insert_with(|| {
                creates.push((id, household.creates));
                instances.push(FormInstance {
                    id,
                    identity: Identity::of_type(&self.schema.form.record_type),
                    area: household.area,
                    subject: None,
                    answers: Vec::new(),
                });
                instances.len() - 1
            });
            instances[at].answers.extend(household.edits());
        }
        (instances, creates)
    }

    fn finish(&self, running: Running<'_>, imported: &mut Imported) -> Result<(), RegisterError> {
        let storage = &*running.service.storage;
        imported.no = match &running.begun {
            Some((no, _)) => Some(*no),
            None => {
                // one that was interrupted after its last write has nothing left to do
                let last = storage.imports(self.township, None, LOOKED_FOR)?;
                let mine = |i: &&crate::storage::register::ImportRow| {
                    i.state == ImportState::Running && i.import.file_hash == self.fingerprint
                };
                last.iter().find(mine).map(|i| i.no)
            }
        };
        if let Some(no) = imported.no {
            let summary = serde_json::to_string(&imported).unwrap_or_default();
            super::import_done(running.service, (self.township, no), running.actor, summary, imported.changes)?;
        }
        if !self.mapping.is_empty() {
            let json = serde_json::to_string(&self.mapping).unwrap_or_default();
            storage.put_column_mapping(self.township, super::HOUSEHOLDS, self.columns.fingerprint(), &json)?;
        }
        Ok(())
    }
}
