//! What happens to phones and server beside their work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use doorstep_core::clock::{Clock, ManualClock, SeededEntropy};
use doorstep_core::id::{Identity, RecordId};
use doorstep_core::record::{Record, Section};
use doorstep_server::service::figures::verify::Verified;
use doorstep_server::service::merge::open_record;
use doorstep_server::service::office::{FormInstance, Office};
use doorstep_server::storage::{RecordFilter, RecordRow};

use super::device::Device;
use super::outcome::{Failure, count};
use super::truth::{Finished, text, visible};
use super::world::World;

/// Clones in one run at most.
const PHONES_MAX: usize = 8;
/// Rewinds in one run at most.
const REWINDS_MAX: u64 = 2;
const YEAR_MS: u64 = 365 * 24 * 3_600_000;

#[derive(Clone, Copy)]
enum Event {
    Clock,
    ServerBackup,
    Rewind,
    OpenReads,
    PhoneBackup,
    Restore,
    Clone,
    Kill,
    Restart,
    Hostile,
    Late,
    Office,
}

const EVENTS: [(u64, Event); 12] = [
    (10, Event::Clock),
    (12, Event::ServerBackup),
    (12, Event::Rewind),
    (14, Event::OpenReads),
    (14, Event::PhoneBackup),
    (12, Event::Restore),
    (8, Event::Clone),
    (8, Event::Kill),
    (6, Event::Restart),
    (10, Event::Hostile),
    (6, Event::Late),
    (6, Event::Office),
];

/// Every value that was ever put, by record.
pub type Holdings = BTreeMap<RecordId, BTreeSet<(String, String)>>;

fn puts(record: &Record) -> BTreeSet<(String, String)> {
    let answers = record.history().into_iter().filter(|h| h.section == Section::Answers);
    answers.map(|h| (h.key, text(&h.value))).collect()
}

impl World<'_> {
    /// Something happens.
    pub fn event(&mut self) -> Result<(), Failure> {
        let who = self.anyone();
        let up = self.network.with(|s| s.server.service().is_some());
        match self.dice.weighted(&EVENTS) {
            Event::Clock => self.jump(who),
            Event::ServerBackup if up => self.network.with(|s| s.server.back_up()),
            Event::Rewind if up => self.rewind(),
            Event::OpenReads if up => self.network.with(|s| s.server.open_reads()).map(drop),
            Event::PhoneBackup => {
                self.note(&format!("phone {who} is backed up"));
                self.devices[who].back_up()
            }
            Event::Restore if up => self.restore(),
            Event::Clone => self.clone_phone(who),
            Event::Kill => {
                self.fault("phone killed");
                self.devices[who].kill()
            }
            Event::Restart => {
                self.fault("server restart");
                self.network.with(|s| {
                    s.server.stop();
                    s.server.start()
                })
            }
            Event::Hostile if up => self.attack(),
            Event::Late => {
                self.network.with(|s| s.deliver_late());
                Ok(())
            }
            Event::Office if up => self.office(),
            _ => Ok(()),
        }
    }

    /// A phone's clock jumps, by up to ten years either way, or comes right again.
    fn jump(&mut self, who: usize) -> Result<(), Failure> {
        let now = self.clock.now_ms();
        let years = 1 + self.dice.below(10);
        let to = match self.dice.below(4) {
            0 => now,
            1 => now + years * YEAR_MS,
            2 => now - years * YEAR_MS,
            _ => now - self.dice.below(3 * 24 * 3_600_000),
        };
        self.devices[who].clock.set(to);
        self.fault("clock jump");
        self.note(&format!("phone {who}: clock at {to}"));
        Ok(())
    }

    fn rewind(&mut self) -> Result<(), Failure> {
        let backups = self.network.with(|s| s.server.backups());
        if self.rewinds >= REWINDS_MAX {
            return Ok(());
        }
        let Some(which) = self.dice.index(backups) else { return Ok(()) };
        self.nothing_missing("before a rewind")?;
        self.network.with(|s| s.server.rewind(which))?;
        self.rewinds += 1;
        self.fault("server rewound");
        let head = self.network.with(|s| s.server.up())?.storage.head(self.township)?.0.seq;
        self.note(&format!("the server goes back to {head}"));
        self.count_losses()
    }

    fn restore(&mut self) -> Result<(), Failure> {
        let copied: Vec<usize> = (0..self.devices.len()).filter(|i| self.devices[*i].has_backup()).collect();
        let Some(who) = self.dice.pick(&copied).copied() else { return Ok(()) };
        self.nothing_missing("before a phone is restored")?;
        self.devices[who].restore()?;
        self.fault("phone restored");
        self.note(&format!("phone {who} is restored"));
        self.count_losses()
    }

    fn clone_phone(&mut self, who: usize) -> Result<(), Failure> {
        let index = self.devices.len();
        if index >= PHONES_MAX {
            return Ok(());
        }
        let clock = Arc::new(ManualClock::at(self.devices[who].clock.now_ms()));
        let entropy = Arc::new(SeededEntropy::new(self.dice.seed()));
        let dir = self.folder(&format!("phone-{index}"));
        let twin = self.devices[who].copy(index, dir, clock, entropy)?;
        self.devices.push(twin);
        self.fault("phone cloned");
        self.note(&format!("phone {who} is cloned as {index}"));
        Ok(())
    }

    /// The office changes a household on what the server shows now.
    fn office(&mut self) -> Result<(), Failure> {
        let service = self.network.with(|s| s.server.up())?;
        let households: Vec<RecordRow> = self.server_rows(Some("household"))?;
        let Some(row) = self.dice.pick(&households).cloned() else { return Ok(()) };
        let Some(record) = self.server_record(row.id)? else { return Ok(()) };
        let (key, value, seen) = ("address".to_owned(), self.token(), visible(&record));
        let office = Office::start(&service, self.office_user, self.township)?;
        office.write(&[FormInstance {
            id: row.id,
            identity: Identity::of_type("household"),
            area: row.area,
            subject: row.subject,
            answers: vec![(key.clone(), value.clone())],
        }])?;
        count(&mut self.out.work, "office edits", 1);
        self.note(&format!("the office writes {value:?}"));
        let (phone, record) = (usize::MAX, row.id);
        self.finished.push(Finished { phone, record, key, value, unique: true, seen, lost: false });
        Ok(())
    }

    /// Records on the server.
    pub fn server_rows(&self, record_type: Option<&str>) -> Result<Vec<RecordRow>, Failure> {
        let service = self.network.with(|s| s.server.up())?;
        let mut rows = Vec::new();
        let mut after = 0;
        loop {
            let record_type = record_type.map(str::to_owned);
            let filter = RecordFilter { record_type, after, limit: 500, ..RecordFilter::default() };
            let page = service.storage.list_records(self.township, &filter)?;
            let Some(last) = page.last() else { return Ok(rows) };
            after = last.born;
            rows.extend(page);
        }
    }

    /// The server's figures beside a recomputation.
    pub fn verify_figures(&self) -> Result<Verified, Failure> {
        let service = self.network.with(|s| s.server.up())?;
        Ok(service.verify_figures(self.township)?)
    }

    /// A record on the server, from its raw changes.
    pub fn server_record(&self, id: RecordId) -> Result<Option<Record>, Failure> {
        let service = self.network.with(|s| s.server.up())?;
        match service.storage.full_record(self.township, id)? {
            Some(stored) => Ok(Some(open_record(&stored)?)),
            None => Ok(None),
        }
    }

    /// All that the server holds.
    pub fn server_holdings(&self) -> Result<Holdings, Failure> {
        let mut all = Holdings::new();
        for row in self.server_rows(None)? {
            if let Some(record) = self.server_record(row.id)? {
                all.insert(row.id, puts(&record));
            }
        }
        Ok(all)
    }

    /// All that a phone holds.
    pub fn phone_holdings(device: &Device) -> Result<Holdings, Failure> {
        let mut all = Holdings::new();
        for row in device.rows(None)? {
            if let Some(record) = device.phone()?.store().record(row.id)? {
                all.insert(row.id, puts(&record));
            }
        }
        Ok(all)
    }

    /// Which finished answers nobody holds.
    fn missing(&self) -> Result<Vec<usize>, Failure> {
        let open: Vec<usize> = (0..self.finished.len()).filter(|i| !self.finished[*i].lost).collect();
        let without = |missing: Vec<usize>, held: &Holdings| -> Vec<usize> {
            let there =
                |f: &Finished| held.get(&f.record).is_some_and(|p| p.contains(&(f.key.clone(), text(&f.value))));
            missing.into_iter().filter(|i| !there(&self.finished[*i])).collect()
        };
        let mut missing = without(open, &self.server_holdings()?);
        for device in &self.devices {
            if missing.is_empty() {
                break;
            }
            missing = without(missing, &Self::phone_holdings(device)?);
        }
        Ok(missing)
    }

    fn nothing_missing(&mut self, when: &str) -> Result<(), Failure> {
        match self.missing()?.first() {
            None => Ok(()),
            Some(i) => {
                let f = &self.finished[*i];
                Failure::err("I4", format!("{when}: {} = {:?} of phone {} is nowhere", f.key, f.value, f.phone))
            }
        }
    }

    /// After a memory was lost: what nobody else holds is gone, and nobody is to blame.
    fn count_losses(&mut self) -> Result<(), Failure> {
        for i in self.missing()? {
            self.finished[i].lost = true;
            count(&mut self.out.work, "answers lost with their only holder", 1);
        }
        Ok(())
    }
}
