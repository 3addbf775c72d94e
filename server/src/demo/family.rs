//! Invented families: who lives in a household, and what the register says about each.

use doorstep_core::clock::SeededEntropy;
use doorstep_core::form::AnswerKey;
use doorstep_core::form::check::days_in_month;
use doorstep_core::record::Value;

use super::names::{self, Day, IdNumbers, pick};

/// The year as of which ages count.
pub const AS_OF_YEAR: u32 = 2026;

/// A member of a household.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The instance in the answers' keys: `member#instance/...`.
    pub instance: String,
    /// The name.
    pub name: String,
    /// True for men and boys.
    pub male: bool,
    /// The birthday.
    pub born: Day,
    /// Relation to the head, a choice of the form.
    pub relation: &'static str,
    /// A choice of the form's list `school`.
    pub school: &'static str,
    /// A choice of the list `health`.
    pub health: &'static str,
    /// A choice of the list `labour`.
    pub labour: &'static str,
    /// A choice of the list `work_place`.
    pub work_place: &'static str,
    /// A choice of the list `insurance`.
    pub insured: &'static str,
    /// A choice of the list `education`.
    pub education: &'static str,
}

impl Member {
    /// Years reached in [`AS_OF_YEAR`].
    pub fn age(&self) -> u32 {
        AS_OF_YEAR.saturating_sub(self.born.0)
    }

    /// The key of one of the member's answers.
    pub fn key(&self, question: &str) -> String {
        AnswerKey::in_repeat("member", &self.instance, question)
    }

    /// The member's answers, with ID number.
    pub fn answers(&self, order: usize, numbers: &mut IdNumbers) -> Vec<(String, Value)> {
        let (year, month, day) = self.born;
        let mut answers = vec![(self.key("@order"), Value::Int(order as i64))];
        let mut add = |question: &str, value: String| answers.push((self.key(question), Value::Text(value)));
        add("name", self.name.clone());
        add("sex", if self.male { "male" } else { "female" }.to_owned());
        add("birth", format!("{year:04}-{month:02}-{day:02}"));
        add("id_number", numbers.next(self.born, self.male));
        for (question, choice) in [
            ("relation", self.relation),
            ("education", self.education),
            ("school", self.school),
            ("health", self.health),
            ("labour", self.labour),
            ("work_place", self.work_place),
            ("insured", self.insured),
        ] {
            add(question, choice.to_owned());
        }
        answers
    }
}

/// Who somebody is before the rest is drawn.
struct Role {
    relation: &'static str,
    male: bool,
    age: u32,
    /// True when the family name is the head's.
    of_family: bool,
}

/// Draws a family: alone, a couple, a couple with children, three generations, or grandparents with grandchildren.
pub fn invent_family(entropy: &SeededEntropy) -> Vec<Member> {
    let family_name = names::surname(entropy);
    let mut members: Vec<Member> = Vec::new();
    for role in draw_roles(entropy) {
        let surname = if role.of_family { family_name.clone() } else { names::surname(entropy) };
        let mut member = describe(entropy, &role, &surname);
        while members.iter().any(|m| m.instance == member.instance) {
            member.instance = instance(entropy);
        }
        members.push(member);
    }
    members
}

fn between(entropy: &SeededEntropy, low: u32, high: u32) -> u32 {
    low + entropy.below(u64::from(high - low + 1)) as u32
}

fn draw_roles(entropy: &SeededEntropy) -> Vec<Role> {
    let kind = entropy.below(100);
    let old = !(40..87).contains(&kind);
    let head_age = if old { between(entropy, 61, 84) } else { between(entropy, 30, 54) };
    let head_male = entropy.chance(if kind < 21 { 60 } else { 88 });
    let mut roles = vec![Role { relation: "head", male: head_male, age: head_age, of_family: true }];
    if kind < 21 {
        return roles;
    }
    let gap = between(entropy, 0, 4);
    let spouse_age = if head_male { head_age - gap } else { head_age + gap };
    roles.push(Role { relation: "spouse", male: !head_male, age: spouse_age, of_family: false });
    let younger = head_age.min(spouse_age);
    match kind {
        40..73 => add_children(entropy, younger, &mut roles),
        73..87 => {
            add_children(entropy, younger, &mut roles);
            add_parents(entropy, head_age, &mut roles);
        }
        87.. => add_grandchildren(entropy, younger, &mut roles),
        _ => {}
    }
    roles
}

fn add_children(entropy: &SeededEntropy, parent_age: u32, roles: &mut Vec<Role>) {
    let count = [1, 1, 2, 2, 2, 3][entropy.below(6) as usize];
    let oldest = parent_age.saturating_sub(between(entropy, 21, 27)).min(26);
    let mut age = Some(oldest);
    for _ in 0..count {
        let Some(this) = age else { return };
        let male = entropy.chance(52);
        roles.push(Role { relation: if male { "son" } else { "daughter" }, male, age: this, of_family: true });
        age = this.checked_sub(between(entropy, 2, 5));
    }
}

fn add_parents(entropy: &SeededEntropy, head_age: u32, roles: &mut Vec<Role>) {
    let mother_age = (head_age + between(entropy, 21, 28)).min(96);
    if entropy.chance(55) {
        roles.push(Role { relation: "father", male: true, age: mother_age + between(entropy, 0, 3), of_family: true });
    }
    roles.push(Role { relation: "mother", male: false, age: mother_age, of_family: false });
}

fn add_grandchildren(entropy: &SeededEntropy, grandparent_age: u32, roles: &mut Vec<Role>) {
    let parent_age = grandparent_age.saturating_sub(between(entropy, 21, 28)).clamp(30, 48);
    if entropy.chance(60) {
        roles.push(Role { relation: "son", male: true, age: parent_age, of_family: true });
    }
    let mut age = (parent_age - between(entropy, 22, 26)).min(17);
    for _ in 0..=entropy.below(2) {
        let male = entropy.chance(52);
        roles.push(Role { relation: if male { "grandson" } else { "granddaughter" }, male, age, of_family: true });
        age = age.saturating_sub(between(entropy, 2, 4));
    }
}

/// A short name for a repeat instance: 4 letters, one of 279,841.
pub fn instance(entropy: &SeededEntropy) -> String {
    const LETTERS: &[u8; 23] = b"abcdefghjkmnpqrstuvwxyz";
    (0..4).map(|_| char::from(LETTERS[entropy.below(23) as usize])).collect()
}

fn describe(entropy: &SeededEntropy, role: &Role, surname: &str) -> Member {
    let (year, month) = (AS_OF_YEAR - role.age, between(entropy, 1, 12));
    // Whoever is born this year is born in its first month, so that no birthday lies in the future.
    let month = if role.age == 0 { 1 } else { month };
    let born = (year, month, between(entropy, 1, days_in_month(year, month)));
    let school = draw_school(entropy, role.age);
    let health = draw_health(entropy, role.age);
    let labour = draw_labour(entropy, role.age, school, health);
    let work_place = draw_work_place(entropy, role.age, labour);
    Member {
        instance: instance(entropy),
        name: names::name(entropy, surname, role.male),
        male: role.male,
        born,
        relation: role.relation,
        school,
        health,
        labour,
        work_place,
        insured: draw_insurance(entropy, work_place),
        education: draw_education(entropy, role.age, school),
    }
}

fn draw_school(entropy: &SeededEntropy, age: u32) -> &'static str {
    match age {
        3..=5 => "kindergarten",
        6..=11 => "primary",
        12..=14 => "junior",
        15 => pick(entropy, &["junior", "senior", "vocational"]),
        16..=18 => pick(entropy, &["senior", "senior", "vocational", "vocational", "not_school_age"]),
        19..=22 => pick(entropy, &["college", "not_school_age", "not_school_age"]),
        _ => "not_school_age",
    }
}

fn draw_education(entropy: &SeededEntropy, age: u32, school: &str) -> &'static str {
    match (school, age) {
        (_, 0..=5) => "preschool",
        ("primary", _) => "primary",
        ("junior", _) => "junior",
        ("senior", _) => "senior",
        ("vocational", _) => "vocational",
        ("college", _) => "college",
        (_, 70..) => pick(entropy, &["none", "none", "primary", "primary", "junior"]),
        (_, 50..70) => pick(entropy, &["none", "primary", "primary", "primary", "junior", "junior"]),
        _ => pick(entropy, &["primary", "junior", "junior", "junior", "senior", "vocational", "college", "university"]),
    }
}

fn draw_health(entropy: &SeededEntropy, age: u32) -> &'static str {
    let healthy = match age {
        0..40 => 94,
        40..60 => 78,
        60..70 => 58,
        _ => 40,
    };
    if entropy.chance(healthy) {
        "healthy"
    } else {
        pick(entropy, &["chronic", "chronic", "chronic", "serious", "disabled"])
    }
}

fn draw_labour(entropy: &SeededEntropy, age: u32, school: &str, health: &str) -> &'static str {
    match (age, health) {
        (0..16 | 72.., _) => "none",
        _ if school != "not_school_age" => "none",
        (_, "disabled" | "serious") => pick(entropy, &["weak", "lost"]),
        (60.., _) => pick(entropy, &["weak", "weak", "ordinary", "none"]),
        _ => pick(entropy, &["ordinary", "ordinary", "ordinary", "ordinary", "skilled", "weak"]),
    }
}

fn draw_work_place(entropy: &SeededEntropy, age: u32, labour: &str) -> &'static str {
    match (labour, age) {
        ("ordinary" | "skilled", 0..60) => {
            pick(entropy, &["province_out", "province_out", "county_out", "county_in", "county_in", "home"])
        }
        ("ordinary" | "skilled" | "weak", _) => pick(entropy, &["county_in", "home", "home"]),
        _ => "na",
    }
}

fn draw_insurance(entropy: &SeededEntropy, work_place: &str) -> &'static str {
    match (entropy.below(100), work_place) {
        (0..7, "province_out" | "county_out") => pick(entropy, &["elsewhere", "employer"]),
        (99, _) => "not_insured",
        _ => "resident",
    }
}
