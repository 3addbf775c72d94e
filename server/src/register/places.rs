//! The villages and groups of a township, by the names that offices write.

use std::collections::HashMap;

use doorstep_core::id::AreaId;
use doorstep_core::protocol::AreaEntry;

use super::clean;

/// Endings that people leave out or add.
const VILLAGE_ENDINGS: [&str; 6] = ["村民委员会", "村委会", "行政村", "社区", "居委会", "村"];

/// A village.
#[derive(Debug)]
pub struct Village {
    /// Its area.
    pub area: AreaId,
    /// Its name.
    pub name: String,
    groups: Vec<(AreaId, String)>,
}

/// The villages of a township.
#[derive(Debug, Default)]
pub struct Places {
    /// All of them.
    pub villages: Vec<Village>,
    by_name: HashMap<String, Option<usize>>,
    by_area: HashMap<AreaId, usize>,
}

impl Places {
    /// From the area tree.
    pub fn of(areas: &[AreaEntry]) -> Self {
        let mut places = Self::default();
        for entry in areas.iter().filter(|a| a.level == "village") {
            let at = places.villages.len();
            places.villages.push(Village { area: entry.area, name: entry.name_zh.clone(), groups: Vec::new() });
            places.by_area.insert(entry.area, at);
            for name in [&entry.name_zh, &entry.name_en, &entry.code] {
                let compared = clean::compared(name);
                if compared.is_empty() {
                    continue;
                }
                let core = core_of(&compared).to_owned();
                for name in [compared, core] {
                    places
                        .by_name
                        .entry(name)
                        .and_modify(|known| *known = known.filter(|k| *k == at))
                        .or_insert(Some(at));
                }
            }
        }
        for entry in areas {
            let above = entry.parent.and_then(|parent| places.by_area.get(&parent).copied());
            if let Some(at) = above.filter(|_| entry.level != "village") {
                places.villages[at].groups.push((entry.area, entry.name_zh.clone()));
                places.by_area.insert(entry.area, at);
            }
        }
        places
    }

    /// The village of a name or code.
    pub fn village(&self, text: &str) -> Option<usize> {
        let compared = clean::compared(text);
        let found = self.by_name.get(&compared).or_else(|| self.by_name.get(core_of(&compared)));
        found.copied().flatten()
    }

    /// The village that an area is, or lies in.
    pub fn village_of(&self, area: AreaId) -> Option<usize> {
        self.by_area.get(&area).copied()
    }

    /// The names of the villages, for a message.
    pub fn names(&self) -> String {
        self.villages.iter().take(12).map(|v| v.name.as_str()).collect::<Vec<_>>().join("、")
    }
}

impl Village {
    /// A group as it is written in answers, and its area where the tree has one. `None` when the tree has groups, but not this.
    pub fn group(&self, text: &str) -> Option<(Option<AreaId>, String)> {
        let number = clean::group_number(text);
        if self.groups.is_empty() {
            let bare = number.filter(|_| clean::compared(text).bytes().all(|b| b.is_ascii_digit()));
            return Some((None, bare.map_or_else(|| clean::tidy(text), |n| format!("{n}组"))));
        }
        let compared = clean::compared(text);
        let same =
            |name: &str| clean::compared(name) == compared || (number.is_some() && clean::group_number(name) == number);
        self.groups.iter().find(|(_, name)| same(name)).map(|(area, name)| (Some(*area), name.clone()))
    }
}

fn core_of(compared: &str) -> &str {
    let cut = VILLAGE_ENDINGS.iter().find_map(|ending| compared.strip_suffix(ending));
    cut.filter(|core| core.chars().count() >= 2).unwrap_or(compared)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

    use super::*;

    fn entry(id: u8, parent: u8, level: &str, name: &str) -> AreaEntry {
        AreaEntry {
            area: AreaId([id; 16]),
            parent: Some(AreaId([parent; 16])),
            level: level.to_owned(),
            code: format!("99999900120{id}"),
            name_zh: name.to_owned(),
            name_en: String::new(),
        }
    }

    #[test]
    fn villages_and_groups_are_known_by_what_offices_write() {
        let places = Places::of(&[
            entry(2, 1, "village", "青山村"),
            entry(3, 1, "village", "石桥社区"),
            entry(4, 3, "group", "三组"),
        ]);
        for name in ["青山村", "青 山", "青山村委会", "青山行政村", "999999001202"] {
            assert_eq!(places.village(name), Some(0), "{name}");
        }
        assert_eq!((places.village("石桥村"), places.village("河边村")), (Some(1), None));
        assert_eq!(places.villages[0].group("３").unwrap(), (None, "3组".to_owned()));
        assert_eq!(places.villages[0].group("河边组").unwrap(), (None, "河边组".to_owned()));
        assert_eq!(places.villages[1].group("第3组").unwrap(), (Some(AreaId([4; 16])), "三组".to_owned()));
        assert!(places.villages[1].group("9组").is_none());
        assert_eq!(places.village_of(AreaId([4; 16])), Some(1));
    }
}
