//! The invented township: 11 villages, 1,863 poor and 51 marginal households, 271 helpers. The same seed gives the same
//! township, byte for byte. Everybody and everything in it is invented.

use doorstep_core::clock::{SeededEntropy, random};
use doorstep_core::form::AnswerKey;
use doorstep_core::id::{AreaId, Identity, RecordId, RecordIdMaker, UserId};
use doorstep_core::record::Value;

pub use super::answers::{newborn_answers, screening_answers, visit_answers};
use super::family::{Member, invent_family};
use super::names::{self, IdNumbers, UNITS, VILLAGES, pick};

/// Registered poor households, those that have left poverty included.
pub const POOR: usize = 1_863;
/// Marginal households.
pub const MARGINAL: usize = 51;
/// Helpers.
pub const HELPERS: usize = 271;

/// The township.
#[derive(Debug, Clone, PartialEq)]
pub struct Township {
    /// Its area.
    pub area: AreaId,
    /// Its Chinese name, which says that it is invented.
    pub name_zh: &'static str,
    /// Its English name, likewise.
    pub name_en: &'static str,
    /// The campaign of the week, second part of each screening's natural key.
    pub campaign: RecordId,
    /// The villages.
    pub villages: Vec<Village>,
    /// The households, village by village.
    pub households: Vec<HouseholdSeed>,
    /// The helpers.
    pub helpers: Vec<HelperSeed>,
}

/// A village.
#[derive(Debug, Clone, PartialEq)]
pub struct Village {
    /// Its area.
    pub area: AreaId,
    /// Its Chinese name.
    pub name: &'static str,
    /// Its English name.
    pub name_en: &'static str,
    /// An invented code of 12 digits.
    pub code: String,
    /// How many groups it has.
    pub groups: u32,
    /// Latitude in degrees.
    pub lat: f64,
    /// Longitude in degrees.
    pub lon: f64,
}

/// Why a household is in the register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Register {
    /// Registered as poor.
    Poor,
    /// At the margin.
    Marginal,
}

/// A household as the township office registers it.
#[derive(Debug, Clone, PartialEq)]
pub struct HouseholdSeed {
    /// The record's id.
    pub id: RecordId,
    /// Index of the village.
    pub village: usize,
    /// Number of the group in the village.
    pub group: u32,
    /// Why it is registered.
    pub register: Register,
    /// Its status, a choice of the household form.
    pub status: &'static str,
    /// The year of the status.
    pub status_year: u32,
    /// The members, head first.
    pub members: Vec<Member>,
    /// All answers of the household form, those of every sensitivity class.
    pub answers: Vec<(String, Value)>,
}

impl HouseholdSeed {
    /// Type and natural key of the household's screening in a campaign.
    pub fn screening(&self, campaign: RecordId) -> Identity {
        Identity::keyed("screening", &[campaign, self.id])
    }
}

/// A helper.
#[derive(Debug, Clone, PartialEq)]
pub struct HelperSeed {
    /// The user.
    pub user: UserId,
    /// The name.
    pub name: String,
    /// The sending unit.
    pub unit: &'static str,
    /// Indexes of the paired households.
    pub households: Vec<usize>,
}

impl Township {
    /// Invents the township that belongs to a seed.
    pub fn invent(seed: u64) -> Self {
        let entropy = SeededEntropy::new(seed);
        let (area, campaign) = (AreaId(random(&entropy)), RecordId(random(&entropy)));
        let villages = invent_villages(&entropy);
        let total = POOR + MARGINAL;
        let sizes = village_sizes(&entropy, total);
        let (ids, mut numbers) = (RecordIdMaker::new(&entropy), IdNumbers::default());
        let mut households = Vec::with_capacity(total);
        for (village, size) in sizes.into_iter().enumerate() {
            for in_village in 0..size {
                let index = households.len();
                let maker = Maker { entropy: &entropy, villages: &villages, ids: &ids };
                households.push(maker.household(index, total, village, in_village, &mut numbers));
            }
        }
        let helpers = invent_helpers(&entropy, total);
        Self {
            area,
            name_zh: "云坪乡(虚构)",
            name_en: "Yunping Township (invented)",
            campaign,
            villages,
            households,
            helpers,
        }
    }

    /// Members of all households together.
    pub fn persons(&self) -> usize {
        self.households.iter().map(|h| h.members.len()).sum()
    }
}

fn invent_villages(entropy: &SeededEntropy) -> Vec<Village> {
    let village = |(index, (name, name_en)): (usize, &(&'static str, &'static str))| Village {
        area: AreaId(random(entropy)),
        name,
        name_en,
        code: format!("999999001{:03}", 201 + index),
        groups: 4 + entropy.below(5) as u32,
        lat: 26.5 + 0.025 * (index / 4) as f64 + 0.001 * entropy.below(10) as f64,
        lon: 108.3 + 0.03 * (index % 4) as f64 + 0.001 * entropy.below(10) as f64,
    };
    VILLAGES.iter().enumerate().map(village).collect()
}

/// Splits `total` among the villages, between about 60 and 140 percent of the mean.
fn village_sizes(entropy: &SeededEntropy, total: usize) -> Vec<usize> {
    let weights: Vec<usize> = VILLAGES.iter().map(|_| 60 + entropy.below(81) as usize).collect();
    let sum: usize = weights.iter().sum();
    let mut sizes: Vec<usize> = weights.iter().map(|w| total * w / sum).collect();
    let missing = total - sizes.iter().sum::<usize>();
    for size in sizes.iter_mut().take(missing) {
        *size += 1;
    }
    sizes
}

fn invent_helpers(entropy: &SeededEntropy, households: usize) -> Vec<HelperSeed> {
    let helper = |index: usize| {
        let male = entropy.chance(62);
        let surname = names::surname(entropy);
        HelperSeed {
            user: UserId(random(entropy)),
            name: names::name(entropy, &surname, male),
            unit: pick(entropy, &UNITS),
            households: (index * households / HELPERS..(index + 1) * households / HELPERS).collect(),
        }
    };
    (0..HELPERS).map(helper).collect()
}

struct Maker<'a> {
    entropy: &'a SeededEntropy,
    villages: &'a [Village],
    ids: &'a RecordIdMaker,
}

impl Maker<'_> {
    fn household(
        &self,
        index: usize,
        total: usize,
        village: usize,
        in_village: usize,
        numbers: &mut IdNumbers,
    ) -> HouseholdSeed {
        let entropy = self.entropy;
        // Spread evenly: exactly MARGINAL of the indexes below `total` pass.
        let marginal = (index + 1) * MARGINAL / total != index * MARGINAL / total;
        let register = if marginal { Register::Marginal } else { Register::Poor };
        let (status, status_year) = draw_status(entropy, register);
        let members = invent_family(entropy);
        let mut household = HouseholdSeed {
            id: self.ids.next_id(),
            village,
            group: 1 + entropy.below(u64::from(self.villages[village].groups)) as u32,
            register,
            status,
            status_year,
            members,
            answers: Vec::new(),
        };
        household.answers = self.answers(&household, in_village, numbers);
        household
    }

    fn answers(&self, household: &HouseholdSeed, in_village: usize, numbers: &mut IdNumbers) -> Vec<(String, Value)> {
        let entropy = self.entropy;
        let village = &self.villages[household.village];
        let mut answers: Vec<(String, Value)> = Vec::new();
        let mut add = |key: &str, value: String| answers.push((key.to_owned(), Value::Text(value)));
        add("head_name", household.members[0].name.clone());
        add("household_no", format!("{}{:04}", village.code, in_village + 1));
        add("village", village.name.to_owned());
        add("group", format!("{}组", household.group));
        add("address", format!("{}{}组{}号", village.name, household.group, 1 + entropy.below(120)));
        if entropy.chance(92) {
            add("phone", names::phone(entropy));
        }
        let (north, east) = (0.00001 * entropy.below(1800) as f64, 0.00001 * entropy.below(1800) as f64);
        let (height, accuracy) = (560 + entropy.below(400), 3 + entropy.below(9));
        add("gps", format!("{:.5} {:.5} {height} {accuracy}", village.lat + north, village.lon + east));
        add("status", household.status.to_owned());
        answers.push(("status_year".to_owned(), Value::Int(i64::from(household.status_year))));
        for attribute in draw_attributes(entropy, &household.members) {
            answers.push((AnswerKey::tick("attributes", attribute), Value::Bool(true)));
        }
        for (order, member) in household.members.iter().enumerate() {
            answers.extend(member.answers(order + 1, numbers));
        }
        for (key, yuan) in draw_income(entropy, &household.members) {
            answers.push((key.to_owned(), Value::Int(yuan)));
        }
        answers
    }
}

fn draw_status(entropy: &SeededEntropy, register: Register) -> (&'static str, u32) {
    if register == Register::Marginal {
        return ("marginal", 2019 + entropy.below(3) as u32);
    }
    match entropy.below(1000) {
        0..14 => ("not_out", 2014 + entropy.below(3) as u32),
        14..22 => ("monitored", 2020 + entropy.below(4) as u32),
        22..26 => ("returned", 2018 + entropy.below(2) as u32),
        26..330 => ("stable_out", 2014 + entropy.below(3) as u32),
        _ => ("out", 2015 + entropy.below(6) as u32),
    }
}

fn draw_attributes(entropy: &SeededEntropy, members: &[Member]) -> Vec<&'static str> {
    let any = |test: &dyn Fn(&Member) -> bool| members.iter().any(test);
    let alone = members.len() == 1 && members[0].age() >= 60;
    let away = any(&|m| m.work_place == "province_out");
    let weak = any(&|m| matches!(m.labour, "lost" | "weak") || m.age() >= 70);
    let destitute = alone && entropy.chance(20);
    let drawn = [
        ("destitute", destitute),
        ("minimum_living", !destitute && weak && entropy.chance(45)),
        ("disabled_member", any(&|m| m.health == "disabled")),
        ("serious_illness", any(&|m| m.health == "serious")),
        ("left_behind", away && any(&|m| m.age() < 16 || m.age() >= 65)),
        ("living_alone", alone),
        ("relocated", entropy.chance(12)),
        ("party_member", entropy.chance(6)),
    ];
    drawn.into_iter().filter(|(_, holds)| *holds).map(|(name, _)| name).collect()
}

/// Last year's income of a household in yuan, by source.
pub(super) fn draw_income(entropy: &SeededEntropy, members: &[Member]) -> [(&'static str, i64); 5] {
    let hundreds = |low: u64, high: u64| ((low + entropy.below(high - low + 1)) * 100) as i64;
    let wages = members.iter().map(|m| match m.work_place {
        "province_out" => hundreds(220, 480),
        "county_out" => hundreds(180, 360),
        "county_in" => hundreds(60, 240),
        _ => 0,
    });
    let business = hundreds(10, 160);
    let pensions = members.iter().filter(|m| m.age() >= 60).count() as i64 * 1_380;
    [
        ("income_wages", wages.sum()),
        ("income_business", business),
        ("income_costs", business * (15 + entropy.below(25) as i64) / 100),
        ("income_property", if entropy.chance(40) { hundreds(2, 20) } else { 0 }),
        ("income_transfers", pensions + hundreds(8, 60)),
    ]
}

#[cfg(test)]
mod tests;
