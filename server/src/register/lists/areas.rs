//! The area tree: villages and what lies below them.

use std::collections::HashMap;

use doorstep_core::clock::Millis;
use doorstep_core::id::AreaId;
use doorstep_core::protocol::AreaEntry;

use super::{Item, List, Write, derived};
use crate::calendar::day_of;
use crate::register::fault::Fault;
use crate::register::planned::State;
use crate::register::schema::Words;
use crate::register::{RegisterError, clean};
use crate::service::Service;
use crate::storage::AreaChange;

impl List {
    /// Areas are known by their code, else by name and the area above. A new name or code counts from today; what it was stays
    /// in the area's past.
    pub(super) fn plan_areas(&self, service: &Service) -> Result<Vec<Item>, RegisterError> {
        let tree = service.storage.area_tree(self.township)?;
        let mut areas: Vec<AreaEntry> = tree.live().cloned().collect();
        let now_ms = service.clock.now_ms();
        let mut seen: HashMap<AreaId, u32> = HashMap::new();
        let mut items = Vec::new();
        for row in self.rows() {
            let item = Item::new(self.sheet.number(row), &self.text(row, "name"));
            items.push(match self.area(service, row, &areas) {
                Err(fault) => item.fail(fault),
                Ok(entry) if tree.became(entry.area).is_some() => item.fail(self.fault("area_ended", row, "name")),
                Ok(entry) => match seen.insert(entry.area, item.row) {
                    Some(other) => item.fail(Fault::new("area_twice", row).with("other", other)),
                    None => planned(item, entry, &mut areas, now_ms),
                },
            });
        }
        Ok(items)
    }

    /// The area of a row as it is to be.
    fn area(&self, service: &Service, row: usize, areas: &[AreaEntry]) -> Result<AreaEntry, Fault> {
        let (name, code) = (self.text(row, "name"), clean::code(&self.text(row, "code")));
        if name.is_empty() {
            return Err(self.fault("no_area_name", row, "name"));
        }
        if clean::is_exponential(&code) {
            return Err(self.fault("digits_lost", row, "code"));
        }
        let written = self.text(row, "level");
        let level = match Words::built_in().level(&written) {
            Some(level) => Some(level),
            None if written.is_empty() => None,
            None => return Err(self.fault("unknown_level", row, "level")),
        };
        let same = |a: &str, b: &str| clean::compared(a) == clean::compared(b);
        let township = areas.iter().find(|a| a.area == self.township);
        if level == Some("township") || township.is_some_and(|t| same(&t.name_zh, &name)) {
            let township =
                township.cloned().filter(|t| same(&t.name_zh, &name) || (!code.is_empty() && t.code == code));
            return township.ok_or_else(|| self.fault("unknown_level", row, "level"));
        }
        let parent = self.parent(row, areas, level)?;
        let by_code = areas.iter().find(|a| !code.is_empty() && a.code == code);
        let by_name = || areas.iter().find(|a| a.parent == Some(parent.area) && same(&a.name_zh, &name));
        let known = by_code.or_else(by_name);
        let level = level.unwrap_or(if parent.area == self.township { "village" } else { "group" });
        let id = known.map_or_else(
            || AreaId(derived(service, "doorstep/register-area/1", &[&parent.area.0, name.as_bytes()])),
            |a| a.area,
        );
        Ok(AreaEntry {
            area: id,
            parent: Some(known.and_then(|a| a.parent).unwrap_or(parent.area)),
            level: known.map_or(level, |a| a.level.as_str()).to_owned(),
            code: if code.is_empty() { known.map(|a| a.code.clone()).unwrap_or_default() } else { code },
            name_en: known.filter(|a| same(&a.name_zh, &name)).map_or_else(|| name.clone(), |a| a.name_en.clone()),
            name_zh: name,
        })
    }

    fn parent<'a>(&self, row: usize, areas: &'a [AreaEntry], level: Option<&str>) -> Result<&'a AreaEntry, Fault> {
        let code = clean::code(&self.text(row, "parent_code"));
        if !code.is_empty() {
            return areas
                .iter()
                .find(|a| a.code == code)
                .ok_or_else(|| self.fault("unknown_parent", row, "parent_code"));
        }
        let name = clean::compared(&self.text(row, "parent"));
        let missing = || self.fault("unknown_parent", row, "parent");
        if name.is_empty() {
            let below_township = level.is_none_or(|l| l == "village");
            return areas.iter().find(|a| a.area == self.township && below_township).ok_or_else(missing);
        }
        let mut found = areas.iter().filter(|a| clean::compared(&a.name_zh) == name);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            _ => Err(missing()),
        }
    }
}

fn planned(mut item: Item, entry: AreaEntry, areas: &mut Vec<AreaEntry>, at_ms: Millis) -> Item {
    let Some(known) = areas.iter_mut().find(|a| a.area == entry.area) else {
        item.state = State::New;
        item.writes.push(Write::Area(entry.clone()));
        areas.push(entry);
        return item;
    };
    if known.name_zh == entry.name_zh && known.code == entry.code {
        return item;
    }
    item.state = State::Changed;
    item.change = Some((format!("{} {}", known.name_zh, known.code), format!("{} {}", entry.name_zh, entry.code)));
    let before = std::mem::replace(known, entry.clone());
    let change = AreaChange { entry, from_day: day_of(at_ms), merged_into: None, at_ms };
    item.writes.push(Write::ChangedArea(Box::new((change, before))));
    item
}
