//! Plausible answers for visits and screenings of an invented household.

use doorstep_core::clock::SeededEntropy;
use doorstep_core::form::AnswerKey;
use doorstep_core::record::Value;

use super::family::{AS_OF_YEAR, Member, instance};
use super::names::pick;
use super::township::{HouseholdSeed, draw_income};

const PHRASES: &[&str] = &[
    "与户主面对面交谈",
    "了解家庭收入情况",
    "外出务工人员已返岗",
    "每月工资按时发放",
    "核对产业奖补资金到账情况",
    "查看住房安全，墙体无裂缝",
    "屋面有轻微渗漏",
    "已联系村委会安排维修",
    "自来水正常，水质良好",
    "冬天水管有冻管现象",
    "孩子在中心小学就读",
    "营养午餐正常享受",
    "老人患高血压，按时服药",
    "家庭医生已签约到户",
    "医保已缴费，知道报销比例",
    "养老金按月领取",
    "种植辣椒三亩，长势较好",
    "养殖仔猪十二头",
    "农产品销路暂无问题",
    "希望增加技术培训",
    "宣传防返贫监测政策",
    "帮助整理屋内卫生",
    "院坝堆放柴草，已劝清理",
    "与系统数据核对一致",
    "家庭人口新增一人，待更新",
    "今年九月孩子升初中",
    "公益性岗位补贴已发",
    "土地流转租金未付清",
    "未发现返贫风险",
    "户主对帮扶工作表示满意",
    "反映通组道路泥泞",
    "低保金足额到账",
    "手册已更新并签字",
    "残疾补贴已核实",
];

const PROBLEMS: &[(&str, &str)] = &[
    ("water", "冬季供水不正常，水管冻裂后未及时维修"),
    ("housing", "屋面渗漏，雨天堂屋进水，需尽快维修"),
    ("medical", "新增人口未及时代缴医保，签约医生未到户"),
    ("education", "县外就读学生资助未落实，学籍信息不匹配"),
    ("industry", "合作社入股分红未兑现，带动主体不知晓"),
    ("jobs", "有一名劳动力愿外出未外出，需要推荐岗位"),
    ("roads", "通组道路灾毁，车辆无法通行"),
    ("file", "扶贫手册不在家，户袋与村档不一致"),
    ("environment", "房前屋后脏乱，残垣断壁未拆"),
    ("responsibility", "走访记录不及时，手册未更新"),
];

/// The township's zone: minutes east of UTC.
pub const ZONE_MINUTES: i32 = 8 * 60;

/// Answers as somebody gives them to a form: one text a question, its ticks together.
pub fn as_given(answers: &[(String, Value)]) -> Vec<(String, String)> {
    let mut texts: Vec<(String, String)> = Vec::new();
    for (key, value) in answers {
        let (question, text) = match (key.split_once('='), value) {
            (Some((question, choice)), _) => (question, choice.to_owned()),
            (None, Value::Text(text)) => (key.as_str(), text.clone()),
            (None, Value::Int(n)) => (key.as_str(), n.to_string()),
            (None, Value::Number(n)) => (key.as_str(), n.to_string()),
            (None, Value::Bool(_) | Value::Blank) => (key.as_str(), String::new()),
        };
        match texts.iter_mut().find(|(known, _)| known == question) {
            Some((_, known)) => *known = format!("{known} {text}"),
            None => texts.push((question.to_owned(), text)),
        }
    }
    texts
}

/// Collects answers.
#[derive(Default)]
struct Answers(Vec<(String, Value)>);

impl Answers {
    fn text(&mut self, key: &str, value: impl Into<String>) {
        self.0.push((key.to_owned(), Value::Text(value.into())));
    }

    fn number(&mut self, key: &str, value: impl TryInto<i64>) {
        self.0.push((key.to_owned(), value.try_into().map_or(Value::Blank, Value::Int)));
    }

    fn tick(&mut self, question: &str, choice: &str) {
        self.0.push((AnswerKey::tick(question, choice), Value::Bool(true)));
    }
}

/// A remark of 30 to 60 Chinese characters.
pub fn remark(entropy: &SeededEntropy) -> String {
    let mut used: Vec<&str> = Vec::new();
    let mut remark = String::new();
    while remark.chars().count() < 30 {
        let phrase = pick(entropy, PHRASES);
        if used.contains(&phrase) {
            continue;
        }
        if !remark.is_empty() {
            remark.push_str(pick(entropy, &["，", "；", "。"]));
        }
        remark.push_str(phrase);
        used.push(phrase);
    }
    remark.push('。');
    remark
}

/// Answers of the visit form. `date` is the day of the visit, as `2026-11-24`.
pub fn visit_answers(entropy: &SeededEntropy, household: &HouseholdSeed, date: &str) -> Vec<(String, Value)> {
    let mut answers = Answers::default();
    answers.text("visit_date", date);
    let start = 8 * 60 + entropy.below(9 * 60);
    let end = start + 15 + entropy.below(60);
    answers.text("start_time", format!("{:02}:{:02}", start / 60, start % 60));
    answers.text("end_time", format!("{:02}:{:02}", end / 60, end % 60));
    let result = match entropy.below(100) {
        0..84 => "met",
        84..92 => "phone",
        92..96 => "nobody",
        96..98 => "away",
        _ => "refused",
    };
    answers.text("result", result);
    if let Some((_, gps)) = household.answers.iter().find(|(key, _)| key == "gps").filter(|_| result == "met") {
        answers.0.push(("place".to_owned(), gps.clone()));
    }
    if matches!(result, "met" | "phone") {
        answer_conversation(entropy, household, &mut answers);
    }
    answers.text("remark", remark(entropy));
    answers.0
}

fn answer_conversation(entropy: &SeededEntropy, household: &HouseholdSeed, answers: &mut Answers) {
    answers.text("who_answered", pick(entropy, &["head", "head", "head", "member", "explainer"]));
    for activity in ["talk", "measures", "data", "environment"] {
        if entropy.chance(70) {
            answers.tick("four_ones", activity);
        }
    }
    let away = household.members.iter().any(|m| matches!(m.work_place, "province_out" | "county_out"));
    let pupils = household.members.iter().any(|m| (6..=18).contains(&m.age()));
    let drawn = [
        ("industry", entropy.chance(55)),
        ("jobs", away),
        ("health", true),
        ("education", pupils),
        ("finance", entropy.chance(15)),
        ("safety_net", entropy.chance(25)),
        ("social", entropy.chance(20)),
    ];
    for (measure, _) in drawn.into_iter().filter(|(_, holds)| *holds) {
        answers.tick("measures", measure);
    }
    answers.text("measures_state", pick(entropy, &["effective", "effective", "effective", "under_way", "no_effect"]));
    answers.text("data_check", pick(entropy, &["matches", "matches", "matches", "corrected", "to_correct"]));
    answers.text("handbook", pick(entropy, &["at_home_current", "at_home_current", "at_home_old", "not_home"]));
    answers.text("members_changed", if entropy.chance(4) { "yes" } else { "no" });
    answers.text("food", pick(entropy, &["always", "always", "always", "mostly"]));
    answers.text("clothes", pick(entropy, &["always", "always", "mostly"]));
    for question in ["education_ok", "medical_ok", "housing_ok", "water_ok"] {
        answers.text(question, if entropy.chance(96) { "met" } else { pick(entropy, &["not_met", "to_verify"]) });
    }
    answers.text("income_risk", if entropy.chance(5) { "yes" } else { "no" });
    if entropy.chance(14) {
        let (category, problem) = PROBLEMS[entropy.below(PROBLEMS.len() as u64) as usize];
        answers.text("has_problem", "yes");
        answers.tick("problem_categories", category);
        answers.text("problem", problem);
    } else {
        answers.text("has_problem", "no");
    }
    answers.text("satisfaction", pick(entropy, &["satisfied", "satisfied", "satisfied", "satisfied", "fairly"]));
}

/// Yuan a person and year: the line of 2020, the newest that the form knows.
const POVERTY_LINE: i64 = 4000;

/// Answers of the screening form. `date` is the day of the screening, as `2026-11-24`.
pub fn screening_answers(entropy: &SeededEntropy, household: &HouseholdSeed, date: &str) -> Vec<(String, Value)> {
    let mut answers = Answers::default();
    let persons = household.members.len();
    answers.text("screening_date", date);
    answers.number("round", 1);
    answers.text("who_answered", pick(entropy, &["head", "head", "head", "member", "explainer", "neighbour"]));
    answers.number("persons_seen", 1 + entropy.below(persons as u64));
    let year = date.split('-').next().and_then(|year| year.parse().ok()).unwrap_or(i64::from(AS_OF_YEAR));
    answer_income(entropy, household, year - 1, &mut answers);
    answer_living_and_school(entropy, &household.members, &mut answers);
    answer_medical(entropy, &household.members, &mut answers);
    answer_housing_and_water(entropy, &mut answers);
    answer_jobs(entropy, &household.members, &mut answers);
    if entropy.chance(3) {
        answers.tick("exclusions", pick(entropy, &["car", "town_house", "company", "big_machine"]));
    }
    if entropy.chance(12) {
        let (category, problem) = PROBLEMS[entropy.below(PROBLEMS.len() as u64) as usize];
        answers.tick("failed_fields", category);
        answers.text("problem", problem);
    }
    answers.text("remark", remark(entropy));
    answers.0
}

fn answer_income(entropy: &SeededEntropy, household: &HouseholdSeed, year: i64, answers: &mut Answers) {
    let persons = household.members.len() as i64;
    let income = draw_income(entropy, &household.members);
    answers.text("income_change", "changed");
    answers.number("income_year", year);
    for (key, yuan) in income {
        answers.number(key, yuan);
    }
    let sum: i64 = income.iter().map(|(key, yuan)| if *key == "income_costs" { -yuan } else { *yuan }).sum();
    answers.number("income_persons", persons);
    let per_person = sum / persons.max(1);
    answers.text("income_verdict", if per_person >= POVERTY_LINE { "met" } else { "to_verify" });
    answers.text("income_risk", if entropy.chance(5) { "yes" } else { "no" });
}

fn answer_living_and_school(entropy: &SeededEntropy, members: &[Member], answers: &mut Answers) {
    answers.text("living_change", pick(entropy, &["no_change", "no_change", "changed"]));
    answers.text("grain", pick(entropy, &["always", "always", "always", "mostly"]));
    answers.text("protein", pick(entropy, &["always", "always", "mostly"]));
    answers.text("clothes", pick(entropy, &["always", "always", "mostly"]));
    answers.text("special_groups", if members.iter().any(|m| m.age() >= 70) { "yes" } else { "na" });
    let children = members.iter().filter(|m| (6..=15).contains(&m.age())).count();
    answers.text("education_change", pick(entropy, &["no_change", "no_change", "changed"]));
    answers.number("children", children as u64);
    answers.text("school_state", if children > 0 { "all_at_school" } else { "na" });
    answers.text("school_aid", if children > 0 { pick(entropy, &["full", "full", "full", "partly"]) } else { "na" });
    if children > 0 {
        answers.number("school_outside", u64::from(entropy.chance(10)));
    }
}

fn answer_medical(entropy: &SeededEntropy, members: &[Member], answers: &mut Answers) {
    let insured = members.iter().filter(|m| m.insured != "not_insured").count();
    let elsewhere = members.iter().any(|m| matches!(m.insured, "elsewhere" | "employer"));
    let newborn = members.iter().any(|m| m.age() == 0);
    answers.text("medical_change", pick(entropy, &["no_change", "no_change", "changed"]));
    answers.number("insured_persons", insured as u64);
    answers.text("serious_insurance", "yes");
    answers.text("new_members_paid", if newborn { pick(entropy, &["yes", "no"]) } else { "na" });
    answers.text("insurance_evidence", if elsewhere { pick(entropy, &["seen", "not_at_hand"]) } else { "na" });
    answers.text("contracted_doctor", if entropy.chance(94) { "yes" } else { "no" });
    answers.number("chronic_persons", members.iter().filter(|m| m.health == "chronic").count() as u64);
}

fn answer_housing_and_water(entropy: &SeededEntropy, answers: &mut Answers) {
    let grade = pick(entropy, &["a", "a", "b", "b", "b", "c", "not_appraised"]);
    answers.text("housing_change", pick(entropy, &["no_change", "no_change", "changed"]));
    answers.text("house_grade", grade);
    answers.number("house_area", 45 + entropy.below(110));
    if grade == "c" {
        answers.text("renovation", pick(entropy, &["approved", "under_way", "finished"]));
    }
    let relocated = entropy.chance(12);
    answers.text("relocation", if relocated { pick(entropy, &["moved_in", "moved_in", "two_ends"]) } else { "na" });
    answers.text("old_house_removed", if relocated { pick(entropy, &["yes", "no"]) } else { "na" });
    answers.text("water_change", pick(entropy, &["no_change", "no_change", "changed"]));
    answers.text("water_source", pick(entropy, &["piped", "piped", "piped", "spring", "well"]));
    answers.text("water_quantity", pick(entropy, &["enough", "enough", "enough", "seasonal"]));
    answers.text("water_quality", pick(entropy, &["tested_ok", "tested_ok", "looks_ok"]));
    answers.text("water_access", pick(entropy, &["home", "home", "home", "within_20_min"]));
    answers.text("water_reliable", if entropy.chance(95) { "yes" } else { "no" });
    answers.text("water_weak", pick(entropy, &["yes", "na"]));
}

fn answer_jobs(entropy: &SeededEntropy, members: &[Member], answers: &mut Answers) {
    let at_home = members.iter().filter(|m| m.work_place == "home").count() as u64;
    answers.number("willing_not_out", entropy.below(at_home + 1) / 2);
    answers.number("trained", entropy.below(2));
    answers.text("post_pay", pick(entropy, &["on_time", "na", "na", "na"]));
    let carrier = pick(entropy, &["cooperative", "enterprise", "self", "none"]);
    answers.text("industry_carrier", carrier);
    answers.text("dividends", if carrier == "cooperative" { pick(entropy, &["full", "partly"]) } else { "na" });
    answers.text("industry_insured", pick(entropy, &["yes", "no", "na"]));
    answers.text("television", if entropy.chance(96) { "yes" } else { "no" });
}

/// Answers that add a child, born on `date`, to a household; its instance is one that the household doesn't have.
pub fn newborn_answers(entropy: &SeededEntropy, household: &HouseholdSeed, date: &str) -> Vec<(String, Value)> {
    let mut new = instance(entropy);
    while household.members.iter().any(|m| m.instance == new) {
        new = instance(entropy);
    }
    let male = entropy.chance(51);
    let surname: String = household.members[0].name.chars().take(1).collect();
    let mut answers = Answers::default();
    let key = |question: &str| AnswerKey::in_repeat("member", &new, question);
    answers.number(&key("@order"), household.members.len() as u64 + 1);
    answers.text(&key("name"), super::names::name(entropy, &surname, male));
    answers.text(&key("sex"), if male { "male" } else { "female" });
    answers.text(&key("birth"), date);
    answers.text(&key("relation"), if male { "grandson" } else { "granddaughter" });
    answers.text(&key("education"), "preschool");
    answers.text(&key("school"), "not_school_age");
    answers.text(&key("labour"), "none");
    answers.text(&key("work_place"), "na");
    answers.text(&key("insured"), "resident");
    answers.0
}
