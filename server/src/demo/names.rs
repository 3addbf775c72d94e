//! Invented names of people, villages and units, and invented telephone and ID numbers.

use std::collections::HashMap;

use doorstep_core::clock::SeededEntropy;

/// Villages: Chinese name, English name. None of them exists in one township.
pub const VILLAGES: [(&str, &str); 11] = [
    ("青岩坝村", "Qingyanba"),
    ("石桥沟村", "Shiqiaogou"),
    ("白沙垭村", "Baishaya"),
    ("大坪上村", "Dapingshang"),
    ("新田湾村", "Xintianwan"),
    ("红岩寨村", "Hongyanzhai"),
    ("竹园头村", "Zhuyuantou"),
    ("龙潭口村", "Longtankou"),
    ("双河坳村", "Shuangheao"),
    ("柏林塝村", "Bailinbang"),
    ("高坡顶村", "Gaopoding"),
];

/// Sending units of helpers.
pub const UNITS: [&str; 14] = [
    "乡镇机关",
    "扶贫工作站",
    "中心学校",
    "卫生院",
    "农业农村中心",
    "水保站",
    "财政所",
    "社会事务中心",
    "人社所",
    "国土所",
    "公路管理所",
    "供电所",
    "信用社",
    "林业站",
];

/// Surnames, frequent ones several times.
const SURNAMES: &[&str] = &[
    "王", "李", "张", "刘", "陈", "杨", "王", "李", "张", "刘", "陈", "杨", "王", "李", "张", "赵", "黄", "周", "吴",
    "徐", "孙", "胡", "朱", "高", "林", "何", "郭", "马", "罗", "梁", "宋", "郑", "谢", "韩", "唐", "冯", "于", "董",
    "萧", "程", "曹", "袁", "邓", "许", "傅", "沈", "曾", "彭", "吕", "苏", "卢", "蒋", "蔡", "贾", "丁", "魏", "薛",
    "叶", "阎", "余", "潘", "杜", "戴", "夏", "钟", "汪", "田", "任", "姜", "范", "方", "石", "姚", "谭", "廖", "邹",
    "熊", "金", "陆", "郝", "孔", "白", "崔", "康", "毛", "邱", "秦", "江", "史", "顾", "侯", "邵", "孟", "龙", "万",
    "段", "雷", "钱", "汤", "尹", "黎", "易", "常", "武", "乔", "贺", "赖", "龚", "文", "欧阳", "上官", "令狐", "逄",
    "仝", "昝", "亓", "禤",
];

const GIVEN_MALE: &[&str] = &[
    "伟", "强", "磊", "军", "洋", "勇", "杰", "涛", "明", "超", "平", "刚", "建", "国", "志", "成", "文", "华", "光",
    "庆", "德", "福", "贵", "生", "发", "才", "忠", "义", "云", "龙", "海", "山", "林", "正", "兴", "永", "万", "顺",
    "学", "先", "朝", "家", "远", "启", "世", "昌", "良", "浩", "宇", "轩", "俊", "鹏", "天", "安", "泽", "子", "祥",
    "仁", "绍", "开",
];

const GIVEN_FEMALE: &[&str] = &[
    "芳", "娜", "敏", "静", "丽", "艳", "娟", "秀", "霞", "桂", "英", "玉", "兰", "红", "梅", "春", "珍", "琴", "凤",
    "莲", "翠", "群", "素", "容", "菊", "香", "月", "花", "燕", "琼", "淑", "华", "碧", "先", "正", "大", "小", "雨",
    "欣", "怡", "婷", "梦", "思", "佳", "雪", "慧", "晓", "丹", "露", "瑶", "银", "巧", "连", "永",
];

/// Characters that fonts, encodings and sorting often lack; two stand outside the basic plane.
const RARE: &[&str] = &["䶮", "㛃", "喆", "堃", "昇", "玥", "犇", "翀", "彧", "燚", "𬭎", "𠅤"];

const DOTTED: &[(&str, &str)] =
    &[("吉克", "阿牛"), ("阿苦", "日哈"), ("沙马", "拉且"), ("买买提", "艾力"), ("阿依", "古丽"), ("曲比", "阿乌")];

/// One of `items`.
pub fn pick<'a, T: ?Sized>(entropy: &SeededEntropy, items: &[&'a T]) -> &'a T {
    items[entropy.below(items.len() as u64) as usize]
}

/// A surname.
pub fn surname(entropy: &SeededEntropy) -> String {
    pick(entropy, SURNAMES).to_owned()
}

/// A whole name. About 1 in 50 holds a rare character, about 1 in 100 is written with a middle dot.
pub fn name(entropy: &SeededEntropy, surname: &str, male: bool) -> String {
    if entropy.chance(1) {
        let (first, second) = DOTTED[entropy.below(DOTTED.len() as u64) as usize];
        return format!("{first}·{second}");
    }
    let pool = if male { GIVEN_MALE } else { GIVEN_FEMALE };
    let mut name = format!("{surname}{}", pick(entropy, pool));
    if entropy.chance(2) {
        name.push_str(pick(entropy, RARE));
    } else if entropy.chance(75) {
        name.push_str(pick(entropy, pool));
    }
    name
}

/// A telephone number of eleven digits with a prefix that no mobile network has.
pub fn phone(entropy: &SeededEntropy) -> String {
    format!("100{:08}", entropy.below(100_000_000))
}

/// A day: year, month, day of month.
pub type Day = (u32, u32, u32);

/// Makes ID numbers, each once: a region that doesn't exist (999999), the birthday, a sequence (odd for men, even for
/// women) and the check digit of GB 11643.
#[derive(Debug, Default)]
pub struct IdNumbers {
    used: HashMap<(Day, bool), u32>,
}

impl IdNumbers {
    /// The next number for somebody born that day.
    pub fn next(&mut self, born: Day, male: bool) -> String {
        let used = self.used.entry((born, male)).or_insert(0);
        *used += 1;
        let sequence = (2 * *used - u32::from(male)) % 1000;
        let (year, month, day) = born;
        let body = format!("999999{year:04}{month:02}{day:02}{sequence:03}");
        let check = check_digit(&body);
        format!("{body}{check}")
    }
}

/// The check digit of a Chinese ID number's first 17 digits (ISO 7064 MOD 11-2): a digit or `X`.
pub fn check_digit(first_17: &str) -> char {
    let sum: u32 = first_17.bytes().fold(0, |sum, b| ((sum + u32::from(b - b'0')) * 2) % 11);
    match (12 - sum) % 11 {
        10 => 'X',
        n => char::from(b'0' + n as u8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_digit_is_that_of_gb_11643() {
        // The standard's own two examples.
        assert_eq!(check_digit("11010519491231002"), 'X');
        assert_eq!(check_digit("44052418800101001"), '4');
    }

    #[test]
    fn id_numbers_differ_and_tell_the_sex() {
        let mut numbers = IdNumbers::default();
        let day = (1980, 2, 29);
        let made =
            [numbers.next(day, true), numbers.next(day, true), numbers.next(day, false), numbers.next(day, false)];
        assert_eq!(
            made.iter().map(|n| &n[..17]).collect::<Vec<_>>(),
            ["99999919800229001", "99999919800229003", "99999919800229002", "99999919800229004",]
        );
    }
}
