//! The campaign week: 24 phones with the real client core, a database each, mostly offline.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorstep_core::client::filling::FillOptions;
use doorstep_core::client::{NewRecord, Phone};
use doorstep_core::clock::{Clock, ManualClock, Millis, SeededEntropy, SystemClock, SystemEntropy};
use doorstep_core::id::RecordId;
use doorstep_core::protocol::GrantEntry;
use doorstep_core::record::Value;
use doorstep_core::store::ListFilter;
use doorstep_core::sync::{Cancel, Silent, SyncOptions, SyncReport};
use indicatif::{ProgressBar, ProgressStyle};

use super::answers::{ZONE_MINUTES, as_given, newborn_answers, screening_answers, visit_answers};
use super::happenings::Happenings;
use super::township::{HouseholdSeed, Township};
use crate::link::{Link, LinkOptions};
use crate::service::Service;
use crate::service::audit::Actor;

/// Phones of the campaign.
pub const PHONES: usize = 24;
/// Days of work.
const DAYS: u64 = 5;
/// Every so many phones one has a 2G-like link that cuts.
const SLOW_EVERY: usize = 6;
/// The phone that is cloned from a backup.
const CLONED: usize = 3;
/// The phone whose clock is ten years behind.
const WRONG_CLOCK: usize = 7;
const DAY_MS: Millis = 24 * 3600 * 1000;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// The progress bar.
pub struct Terminal(ProgressBar);

impl Terminal {
    /// A bar for the whole week.
    pub fn new() -> Self {
        let bar = ProgressBar::new(DAYS + 3);
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
        Self(match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }

    fn step(&self, message: &str) {
        self.0.set_message(message.to_owned());
        self.0.inc(1);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

/// The role of a village's phones beside their pairings: the first is a helper's, the others see the whole village. In one
/// village there is a second helper.
fn role_of(village: usize, place: usize) -> Option<&'static str> {
    match (village, place) {
        (_, 0) | (0, 2) => None,
        (_, 1) => Some("village_cadre"),
        _ => Some("work_team"),
    }
}

/// What a sync took.
#[derive(Debug, Clone, Copy)]
pub struct SyncFigures {
    /// Bytes up on the wire, headers in.
    pub bytes_up: u64,
    /// Bytes down.
    pub bytes_down: u64,
    /// HTTP requests.
    pub requests: u64,
    /// Wall time.
    pub took: Duration,
    /// True on the slow link.
    pub slow: bool,
}

/// A phone of the campaign.
pub struct DemoPhone {
    /// The client core.
    pub phone: Phone,
    /// Whose phone it is: index of the helper.
    pub helper: usize,
    pub(super) clock: Arc<ManualClock>,
    pub(super) link: Link,
    pub(super) dir: PathBuf,
    slow: bool,
    /// Changes made anew.
    pub remade: u64,
    /// Its syncs.
    pub syncs: Vec<SyncFigures>,
}

impl DemoPhone {
    /// Syncs, over and over on a cutting link, until it went through.
    fn sync(&mut self, cuts: &[u32]) -> Result<(), Fault> {
        let options =
            SyncOptions { tries: 8, wait_first: Duration::from_millis(20), wait_max: Duration::from_millis(200) };
        self.link.counts.take();
        let start = Instant::now();
        let mut report = SyncReport::default();
        for cut in cuts {
            self.link.counts.cut_after(*cut);
            let impatient = SyncOptions { tries: 0, ..options.clone() };
            // this sync is cut on purpose; what it took stays
            let _ = self.phone.engine(impatient)?.sync_into(&mut report, &Silent, &Cancel::default());
        }
        self.phone.engine(options)?.sync_into(&mut report, &Silent, &Cancel::default())?;
        let (bytes_up, bytes_down, requests) = self.link.counts.take();
        self.syncs.push(SyncFigures { bytes_up, bytes_down, requests, took: start.elapsed(), slow: self.slow });
        self.remade += report.remade;
        Ok(())
    }

    fn fill(
        &self,
        form: &str,
        subject: RecordId,
        answers: &[(String, Value)],
        new: &NewRecord,
    ) -> Result<RecordId, Fault> {
        let draft = self.phone.start(form, Some(subject))?;
        let mut filling =
            self.phone.fill(draft, FillOptions { offset_minutes: ZONE_MINUTES, ..FillOptions::default() })?;
        for (question, text) in as_given(answers) {
            let spot = filling.session().spot(&question).ok_or_else(|| format!("{form} has no {question}"))?;
            filling.answer(spot, &text).map_err(|error| format!("{form}, {question}: {error}"))?;
        }
        Ok(self.phone.finish_filled(filling, new)?)
    }

    /// True when the phone holds a record.
    pub(super) fn holds(&self, record: RecordId) -> Result<bool, Fault> {
        Ok(self.phone.store().row(record)?.is_some())
    }

    fn edit(&self, record: RecordId, answers: &[(String, Value)]) -> Result<(), Fault> {
        let draft = self.phone.edit(record)?;
        for (key, value) in answers {
            self.phone.answer(draft, key, value)?;
        }
        self.phone.finish(draft)?;
        Ok(())
    }
}

/// What the week left behind.
pub struct Week {
    /// The phones, the clone last.
    pub phones: Vec<DemoPhone>,
    /// Visits made.
    pub visits: u64,
    /// Screenings made.
    pub screenings: u64,
    /// Households that two or three phones edited at once.
    pub shared_households: u64,
    /// What else happened.
    pub happenings: Happenings,
}

/// The week in the making.
pub struct Campaign<'a> {
    pub(super) service: &'a Arc<Service>,
    pub(super) township: &'a Township,
    runtime: &'a tokio::runtime::Runtime,
    address: SocketAddr,
    pub(super) dir: PathBuf,
    entropy: SeededEntropy,
    pub(super) phones: Vec<DemoPhone>,
    /// Phones of each village: a helper's first, whose households the others see as well.
    pub(super) teams: Vec<Vec<usize>>,
    visits: u64,
    screenings: u64,
    shared_households: u64,
    pub(super) happenings: Happenings,
}

impl<'a> Campaign<'a> {
    /// Enrols the phones, two or three in each village.
    pub fn new(
        service: &'a Arc<Service>,
        township: &'a Township,
        data: &Path,
        address: SocketAddr,
        runtime: &'a tokio::runtime::Runtime,
        seed: u64,
    ) -> Result<Self, Fault> {
        let mut campaign = Self {
            service,
            township,
            runtime,
            address,
            dir: data.join("phones"),
            entropy: SeededEntropy::new(seed ^ 0x77ee),
            phones: Vec::new(),
            teams: vec![Vec::new(); township.villages.len()],
            visits: 0,
            screenings: 0,
            shared_households: 0,
            happenings: Happenings::default(),
        };
        let village_of = |h: usize| township.helpers[h].households.first().map(|i| township.households[*i].village);
        let mut used = vec![0usize; township.villages.len()];
        let quota = |village: usize| 2 + usize::from(village < PHONES - 2 * township.villages.len());
        for helper in 0..township.helpers.len() {
            let Some(village) = village_of(helper) else { continue };
            if used[village] < quota(village) {
                let role = role_of(village, used[village]);
                used[village] += 1;
                campaign.teams[village].push(campaign.phones.len());
                if let Some(role) = role {
                    let area = township.villages[village].area;
                    let grant = GrantEntry { grant: 0, role: role.into(), area, subject: None, active: true };
                    service.storage.append_grants(township.helpers[helper].user, &[grant.into()])?;
                }
                let phone = campaign.enrol(helper, campaign.phones.len())?;
                campaign.phones.push(phone);
            }
        }
        Ok(campaign)
    }

    /// A new phone of a helper's.
    pub(super) fn enrol(&self, helper: usize, index: usize) -> Result<DemoPhone, Fault> {
        let dir = self.dir.join(format!("{index:02}"));
        let slow = index % SLOW_EVERY == SLOW_EVERY - 1;
        let clock = Arc::new(ManualClock::at(SystemClock.now_ms() - (DAYS + 1) * DAY_MS));
        let link = self.link(slow)?;
        let (phone, _) = Phone::open(&dir, clock.clone(), Arc::new(SystemEntropy))?;
        let code = self.service.invite(Actor::CommandLine, self.township.helpers[helper].user, self.township.area)?;
        phone.enrol(&format!("http://{}", link.address), &code)?;
        let (remade, syncs) = (0, Vec::new());
        Ok(DemoPhone { phone, helper, clock, link, dir, slow, remade, syncs })
    }

    fn link(&self, slow: bool) -> std::io::Result<Link> {
        let options = if slow {
            LinkOptions { rtt: Duration::from_millis(300), bits_per_s: 100_000 }
        } else {
            LinkOptions::default()
        };
        self.runtime.block_on(Link::start(self.address, options))
    }

    /// Runs the week.
    pub fn run(mut self, terminal: &Terminal) -> Result<Week, Fault> {
        self.sync_all(|_| true, &[])?;
        terminal.step("phones hold their households, or their villages");
        let mut shared_visits = Vec::new();
        for day in 0..DAYS {
            self.morning(day);
            self.work(day)?;
            match day {
                0 => {
                    self.edit_together()?;
                    shared_visits = self.start_shared_visits()?;
                }
                1 => self.continue_shared_visits(&shared_visits)?,
                2 => self.back_up_phone()?,
                3 => self.lose_phone()?,
                4 => {
                    self.open_clone()?;
                    self.events()?;
                }
                _ => {}
            }
            self.sync_all(|index| !(index as u64 + day).is_multiple_of(3) || day == 0, &[9_000, 2_500])?;
            terminal.step(&format!("day {} done", day + 1));
        }
        self.morning(DAYS);
        self.sync_all(|_| true, &[1_500])?;
        self.pair_anew()?;
        self.sync_all(|_| true, &[])?;
        self.decide()?;
        self.sync_all(|_| true, &[])?;
        self.look()?;
        terminal.step("everybody has synced");
        let Self { phones, visits, screenings, shared_households, happenings, .. } = self;
        Ok(Week { phones, visits, screenings, shared_households, happenings })
    }

    /// Sets the phones' clocks to eight in the morning of a day of the week that ends today.
    fn morning(&self, day: u64) {
        let now = SystemClock.now_ms();
        for (index, phone) in self.phones.iter().enumerate() {
            let wrong = if index == WRONG_CLOCK { 3650 * DAY_MS } else { 0 };
            phone.clock.set(now - (DAYS - day) * DAY_MS - wrong);
        }
    }

    pub(super) fn date(&self, phone: usize) -> String {
        let days = (self.phones[phone].clock.now_ms() / DAY_MS) as i64;
        let date = time::Date::from_calendar_date(1970, time::Month::January, 1).ok();
        date.and_then(|d| d.checked_add(time::Duration::days(days))).map(|d| d.to_string()).unwrap_or_default()
    }

    fn seed(&self, household: RecordId) -> Option<&'a HouseholdSeed> {
        self.township.households.iter().find(|h| h.id == household)
    }

    /// Every phone visits and screens some of its households.
    fn work(&mut self, day: u64) -> Result<(), Fault> {
        for index in 0..self.phones.len() {
            let mine = &self.township.helpers[self.phones[index].helper].households;
            let today: Vec<usize> = mine.iter().copied().skip(day as usize).step_by(DAYS as usize).collect();
            let date = self.date(index);
            for household in today {
                let seed = &self.township.households[household];
                let phone = &self.phones[index];
                let answers = visit_answers(&self.entropy, seed, &date);
                phone.fill("visit", seed.id, &answers, &NewRecord::default())?;
                let campaign = NewRecord { campaign: Some(self.township.campaign), area: None };
                let answers = screening_answers(&self.entropy, seed, &date);
                phone.fill("screening", seed.id, &answers, &campaign)?;
                phone.clock.advance(40 * 60 * 1000);
                self.visits += 1;
                self.screenings += 1;
            }
        }
        Ok(())
    }

    /// Households of the village's helper that the whole team edits before anybody syncs.
    pub(super) fn shared(&self, village: usize) -> Vec<&'a HouseholdSeed> {
        let Some(first) = self.teams[village].first() else { return Vec::new() };
        let paired = self.township.helpers[self.phones[*first].helper].households.iter();
        let fit =
            paired.map(|h| &self.township.households[*h]).filter(|h| h.village == village && h.members.len() >= 2);
        fit.take(5).collect()
    }

    /// Different fields, the same field, members added, a member removed by one and edited by another.
    fn edit_together(&mut self) -> Result<(), Fault> {
        let text = |t: &str| Value::Text(t.to_owned());
        for village in 0..self.teams.len() {
            let households = self.shared(village);
            let [fields, same, added, removed, ..] = households.as_slice() else { continue };
            for (place, index) in self.teams[village].clone().into_iter().enumerate() {
                let phone = &self.phones[index];
                if !phone.holds(fields.id)? {
                    continue;
                }
                let field = ["handbook_no", "remark", "hamlet"][place % 3];
                phone.edit(fields.id, &[(field.into(), text(&format!("核对{}", place + 1)))])?;
                let address = format!("{}{}号（{}）", self.township.villages[village].name, 10 + place, place + 1);
                phone.edit(same.id, &[("address".into(), text(&address))])?;
                phone.edit(added.id, &newborn_answers(&self.entropy, added, &self.date(index)))?;
                let Some(member) = removed.members.last() else { continue };
                let change = if place == 0 {
                    (member.key("@deleted"), Value::Bool(true))
                } else {
                    (member.key("work_place"), text(["county_in", "county_out"][place % 2]))
                };
                phone.edit(removed.id, &[change])?;
                phone.clock.advance(20 * 60 * 1000);
            }
            self.shared_households += 4;
        }
        Ok(())
    }

    /// One helper of each village starts a visit that the team will go on with.
    fn start_shared_visits(&mut self) -> Result<Vec<(usize, RecordId)>, Fault> {
        let mut visits = Vec::new();
        for village in 0..self.teams.len() {
            let (Some(household), Some(first)) = (self.shared(village).pop(), self.teams[village].first().copied())
            else {
                continue;
            };
            let answers = visit_answers(&self.entropy, household, &self.date(first));
            let visit = self.phones[first].fill("visit", household.id, &answers, &NewRecord::default())?;
            self.visits += 1;
            self.shared_households += 1;
            visits.push((village, visit));
        }
        Ok(visits)
    }

    /// The whole team writes on it before anybody syncs.
    fn continue_shared_visits(&mut self, visits: &[(usize, RecordId)]) -> Result<(), Fault> {
        for (village, visit) in visits {
            for (place, index) in self.teams[*village].iter().enumerate() {
                let phone = &self.phones[*index];
                if !phone.holds(*visit)? {
                    continue;
                }
                let remark = Value::Text(format!("第{}人补充：{}", place + 1, super::answers::remark(&self.entropy)));
                phone.edit(*visit, &[("remark".into(), remark)])?;
            }
        }
        Ok(())
    }

    /// Copies a phone's folder, as a backup would.
    fn back_up_phone(&mut self) -> Result<(), Fault> {
        let dir = self.phones[CLONED].dir.clone();
        let copy = self.dir.join("clone");
        let clock = self.phones[CLONED].clock.clone();
        let (parked, _) = Phone::open(&self.dir.join("parked"), clock.clone(), Arc::new(SystemEntropy))?;
        std::mem::replace(&mut self.phones[CLONED].phone, parked).close()?;
        std::fs::create_dir_all(&copy)?;
        for file in std::fs::read_dir(&dir)? {
            let file = file?;
            std::fs::copy(file.path(), copy.join(file.file_name()))?;
        }
        let (phone, _) = Phone::open(&dir, clock, Arc::new(SystemEntropy))?;
        std::mem::replace(&mut self.phones[CLONED].phone, phone).close()?;
        Ok(())
    }

    /// The copy comes to life as a second phone with the same key and works too.
    fn open_clone(&mut self) -> Result<(), Fault> {
        let (clock, helper) =
            (Arc::new(ManualClock::at(self.phones[CLONED].clock.now_ms())), self.phones[CLONED].helper);
        let dir = self.dir.join("clone");
        let (phone, _) = Phone::open(&dir, clock.clone(), Arc::new(SystemEntropy))?;
        let link = self.link(false)?;
        phone.use_transport(Arc::new(doorstep_core::sync::HttpTransport::new(&format!("http://{}", link.address))?));
        let (remade, syncs) = (0, Vec::new());
        let clone = DemoPhone { phone, helper, clock, link, dir, slow: false, remade, syncs };
        let rows = clone.phone.list(ListFilter {
            record_type: Some("household".into()),
            limit: 3,
            ..ListFilter::default()
        })?;
        self.phones.push(clone);
        let index = self.phones.len() - 1;
        for row in rows {
            let Some(seed) = self.seed(row.id) else { continue };
            let answers = visit_answers(&self.entropy, seed, &self.date(index));
            self.phones[index].fill("visit", row.id, &answers, &NewRecord::default())?;
            self.phones[index].edit(row.id, &[("remark".into(), Value::Text("克隆手机上的补充".into()))])?;
            self.visits += 1;
        }
        Ok(())
    }

    /// Some phones sync at the same time; those on slow links are cut on the way.
    pub(super) fn sync_all(&mut self, which: impl Fn(usize) -> bool, cuts: &[u32]) -> Result<(), Fault> {
        let results: Vec<Result<(), Fault>> = std::thread::scope(|scope| {
            let chosen = self.phones.iter_mut().enumerate().filter(|(index, _)| which(*index));
            let threads: Vec<_> =
                chosen.map(|(_, phone)| scope.spawn(move || phone.sync(if phone.slow { cuts } else { &[] }))).collect();
            threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err("a phone's sync panicked".into()))).collect()
        });
        results.into_iter().collect()
    }
}
