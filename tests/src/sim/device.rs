//! A phone: the real client core on files of its own, which can be killed, copied and brought back.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use doorstep_core::client::{Phone, PhoneError};
use doorstep_core::clock::{ManualClock, SeededEntropy};
use doorstep_core::fault::Crash;
use doorstep_core::id::{AreaId, RecordId, UserId};
use doorstep_core::record::Value;
use doorstep_core::store::{DraftId, ListFilter, Row};

use super::network::Network;
use super::outcome::{Failure, last_panic};
use super::truth::{Doing, Draft, Memory, fold};

/// What became of something that was done on a phone.
pub enum Acted<T> {
    /// It was done.
    Done(T),
    /// The phone refused.
    Refused(PhoneError),
    /// The phone died at a crash point, and was opened again.
    Died(&'static str),
}

/// A phone of the simulation.
pub struct Device {
    /// Its number.
    pub index: usize,
    dir: PathBuf,
    phone: Option<Phone>,
    /// Its clock.
    pub clock: Arc<ManualClock>,
    entropy: Arc<SeededEntropy>,
    network: Arc<Network>,
    /// Whose phone.
    pub user: UserId,
    /// The village that the helper may read; `None`: the whole township.
    pub village: Option<AreaId>,
    /// What the helper knows.
    pub memory: Memory,
    backup: Option<(PathBuf, Memory)>,
    /// A draft that was finished while the phone died: where its answers went must be found.
    pub finished_unseen: Vec<Draft>,
}

/// Who a phone belongs to.
pub struct Owner {
    /// The person.
    pub user: UserId,
    /// Their village; `None`: the whole township.
    pub village: Option<AreaId>,
}

impl Device {
    /// Opens a phone in a folder.
    pub fn open(
        index: usize,
        dir: PathBuf,
        owner: Owner,
        clock: Arc<ManualClock>,
        entropy: Arc<SeededEntropy>,
        network: Arc<Network>,
    ) -> Result<Self, Failure> {
        let mut device = Self {
            index,
            dir,
            phone: None,
            clock,
            entropy,
            network,
            user: owner.user,
            village: owner.village,
            memory: Memory::default(),
            backup: None,
            finished_unseen: Vec::new(),
        };
        device.reopen()?;
        Ok(device)
    }

    /// The open phone.
    pub fn phone(&self) -> Result<&Phone, Failure> {
        self.phone.as_ref().ok_or_else(|| Failure::broken("simulation", "a phone is closed"))
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        let (phone, notices) = Phone::open(&self.dir, self.clock.clone(), self.entropy.clone())?;
        if let Some(notice) = notices.first() {
            return Failure::err("I1", format!("a phone's database was found damaged: {notice}"));
        }
        phone.use_transport(self.network.clone());
        self.phone = Some(phone);
        Ok(())
    }

    /// Does something that may die at a crash point; then the phone is opened again and compared with what its helper
    /// knows.
    pub fn act<T>(
        &mut self,
        doing: &Doing,
        work: impl FnOnce(&Phone) -> Result<T, PhoneError>,
    ) -> Result<Acted<T>, Failure> {
        let phone = self.phone()?;
        match catch_unwind(AssertUnwindSafe(|| work(phone))) {
            Ok(Ok(done)) => Ok(Acted::Done(done)),
            Ok(Err(error)) => Ok(Acted::Refused(error)),
            Err(payload) => match payload.downcast_ref::<Crash>() {
                Some(Crash(point)) => {
                    let point = *point;
                    self.phone = None;
                    self.reopen()?;
                    self.compare(doing)?;
                    Ok(Acted::Died(point))
                }
                None => Failure::err("panic", format!("a phone: {}", last_panic())),
            },
        }
    }

    /// The phone is killed while nothing is going on.
    pub fn kill(&mut self) -> Result<(), Failure> {
        self.phone = None;
        self.reopen()?;
        self.compare(&Doing::Nothing)
    }

    fn close(&mut self) -> Result<(), Failure> {
        match self.phone.take() {
            Some(phone) => Ok(phone.close()?),
            None => Ok(()),
        }
    }

    /// Copies the closed phone's folder; the copy remembers what the helper knew.
    fn copy_to(&mut self, to: &Path) -> Result<(), Failure> {
        self.close()?;
        copy_folder(&self.dir, to)?;
        self.reopen()
    }

    /// Makes a backup copy of the phone.
    pub fn back_up(&mut self) -> Result<(), Failure> {
        let to = self.dir.with_extension("backup");
        if to.exists() {
            std::fs::remove_dir_all(&to)?;
        }
        self.copy_to(&to)?;
        self.backup = Some((to, self.memory.clone()));
        Ok(())
    }

    /// True when there is a backup copy.
    pub fn has_backup(&self) -> bool {
        self.backup.is_some()
    }

    /// The phone goes back to its backup copy.
    pub fn restore(&mut self) -> Result<(), Failure> {
        let Some((from, memory)) = self.backup.clone() else { return Ok(()) };
        self.close()?;
        std::fs::remove_dir_all(&self.dir)?;
        copy_folder(&from, &self.dir)?;
        self.memory = memory;
        self.reopen()?;
        self.compare(&Doing::Nothing)
    }

    /// A second phone with all that this one has; both live on.
    pub fn copy(
        &mut self,
        index: usize,
        dir: PathBuf,
        clock: Arc<ManualClock>,
        entropy: Arc<SeededEntropy>,
    ) -> Result<Self, Failure> {
        self.copy_to(&dir)?;
        let owner = Owner { user: self.user, village: self.village };
        let mut copy = Self::open(index, dir, owner, clock, entropy, self.network.clone())?;
        copy.memory = self.memory.clone();
        copy.compare(&Doing::Nothing)?;
        Ok(copy)
    }

    /// Compares the drafts on the phone with what the helper knows (I1), and takes over what may or may not have happened.
    pub fn compare(&mut self, doing: &Doing) -> Result<(), Failure> {
        let on_phone = self.drafts_on_phone()?;
        let lost = |what: String| Failure::broken("I1", format!("phone {}: {what}", self.index));
        let mut unseen = None;
        for draft in &self.memory.drafts {
            match on_phone.get(&draft.id) {
                Some(answers) => {
                    let written = matches!(doing, Doing::Writing(id, to) if *id == draft.id && fold(to) == *answers);
                    if !written && *answers != fold(&draft.journal) {
                        return Err(lost(format!(
                            "draft {} ({}) holds {answers:?}, saved were {:?}",
                            draft.id.0, draft.form, draft.journal
                        )));
                    }
                }
                None if *doing == Doing::Finishing(draft.id) || *doing == Doing::Discarding(draft.id) => {
                    unseen = Some(draft.id);
                }
                None => return Err(lost(format!("draft {} is gone", draft.id.0))),
            }
        }
        if let Doing::Writing(id, to) = doing {
            let now = on_phone.get(id);
            if let Some(draft) = self.memory.draft_mut(*id).filter(|_| now == Some(&fold(to))) {
                draft.journal.clone_from(to);
            }
        }
        let gone = unseen.and_then(|id| self.memory.forget(id));
        if matches!(doing, Doing::Finishing(_)) {
            self.finished_unseen.extend(gone);
        }
        for id in on_phone.keys() {
            if self.memory.draft(*id).is_none() {
                if *doing != Doing::Starting {
                    return Failure::err("I1", format!("phone {}: a draft came from nowhere", self.index));
                }
                // nobody was told of it: the helper throws the empty draft away
                self.phone()?.discard(*id)?;
            }
        }
        Ok(())
    }

    fn drafts_on_phone(&self) -> Result<BTreeMap<DraftId, BTreeMap<String, Value>>, Failure> {
        let phone = self.phone()?;
        let mut drafts = BTreeMap::new();
        for row in phone.drafts()? {
            drafts.insert(row.id, phone.store().draft_answers(row.id)?);
        }
        Ok(drafts)
    }

    /// Records on the phone, by filter.
    pub fn rows(&self, record_type: Option<&str>) -> Result<Vec<Row>, Failure> {
        let filter =
            ListFilter { record_type: record_type.map(str::to_owned), limit: 100_000, ..ListFilter::default() };
        Ok(self.phone()?.list(filter)?)
    }

    /// True when a record on the phone has had this value under this key.
    pub fn has(&self, record: RecordId, key: &str, value: &Value) -> Result<bool, Failure> {
        let record = self.phone()?.store().record(record)?;
        Ok(record.is_some_and(|r| super::truth::has(&r, key, value)))
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
