//! What the rows of a household say about the household itself: village and group, and all that isn't about one member.

use doorstep_core::id::AreaId;
use doorstep_core::record::Value;

use super::fault::Fault;
use super::planned::Change;
use super::planner::{Draft, Planner, ReadRow, by_field};
use super::schema::FieldKind;
use super::values::Given;

impl Planner<'_> {
    /// Collects the household's answers; gives where its record is, `None` where that is wrong.
    pub(super) fn household_answers(
        &self,
        number: &str,
        known: Option<usize>,
        rows: &[ReadRow],
        draft: &mut Draft<'_>,
        changes: &mut Vec<Change>,
    ) -> Option<AreaId> {
        let area = self.place(number, known, rows, draft, changes);
        if known.is_none() {
            draft.want("household_no".to_owned(), number.into(), changes);
        }
        for (field, given) in by_field(rows) {
            let name = self.schema.fields[field].name.as_str();
            let elsewhere = matches!(name, "household_no" | "village" | "group" | "head_name");
            if !self.schema.fields[field].of_member && !elsewhere {
                self.one_answer(field, &given, rows, draft, changes);
            }
        }
        area
    }

    /// With chosen columns: the household's answers among them.
    pub(super) fn only_household_answers(&self, rows: &[ReadRow], draft: &mut Draft<'_>, changes: &mut Vec<Change>) {
        for (field, given) in by_field(rows) {
            let chosen = self.only.as_ref().is_some_and(|only| only.contains(&field));
            if chosen && !self.schema.fields[field].of_member {
                self.one_answer(field, &given, rows, draft, changes);
            }
        }
    }

    /// The rows of a household must agree; of texts the head's row counts.
    fn one_answer(
        &self,
        field: usize,
        given: &[(usize, u16, &Given)],
        rows: &[ReadRow],
        draft: &mut Draft<'_>,
        changes: &mut Vec<Change>,
    ) {
        let Some((_, _, first)) = given.first() else { return };
        let other = given.iter().find(|(_, _, g)| g != first);
        let kind = self.schema.fields[field].kind;
        let chosen = match other {
            None => *first,
            Some((row, column, _)) if !matches!(kind, FieldKind::Text | FieldKind::Code | FieldKind::Name) => {
                let fault = Fault::new("differs_in_household", *row).at(*column);
                draft.faults.push(fault.with("column", self.columns.header(*column)));
                return;
            }
            Some((row, _, _)) => {
                draft.notes.add("note_first_value", self.sheet.number(*row));
                let head = rows.iter().find(|r| self.is_head(r)).map(|r| r.row);
                given.iter().find(|(row, _, _)| Some(*row) == head).map_or(*first, |(_, _, g)| *g)
            }
        };
        draft.want_given(&self.schema.fields[field].name, chosen, changes);
    }

    /// True for a row whose relation is the head's.
    pub(super) fn is_head(&self, row: &ReadRow) -> bool {
        row.text(self.schema.position("relation")) == "head"
    }

    fn place(
        &self,
        number: &str,
        known: Option<usize>,
        rows: &[ReadRow],
        draft: &mut Draft<'_>,
        changes: &mut Vec<Change>,
    ) -> Option<AreaId> {
        let first = rows.first().map_or(0, |r| r.row);
        let village = self.village_of_rows(number, rows, draft)?;
        let registered = known.map(|at| self.content.household(at).area);
        let present = registered.and_then(|area| self.places.village_of(area));
        let Some(village) = village.or(self.village).or(present) else {
            if registered.is_none() {
                draft.faults.push(Fault::new("no_village", first));
            }
            return registered;
        };
        if let Some(present) = present.filter(|present| *present != village) {
            let fault = Fault::new("other_village", first).with("number", number);
            draft.faults.push(fault.with("village", &self.places.villages[present].name));
            return None;
        }
        let at = &self.places.villages[village];
        draft.want("village".to_owned(), at.name.as_str().into(), changes);
        let group = self.group_of_rows(village, rows, draft, changes)?;
        Some(registered.unwrap_or_else(|| group.unwrap_or(at.area)))
    }

    /// The village that the rows name; the outer `None` when they name two, or one that isn't there.
    fn village_of_rows(&self, number: &str, rows: &[ReadRow], draft: &mut Draft<'_>) -> Option<Option<usize>> {
        let field = self.schema.position("village");
        let mut found: Option<(usize, &str)> = None;
        for row in rows {
            let text = row.text(field);
            if text.is_empty() {
                continue;
            }
            let Some(village) = self.places.village(text) else {
                let fault = Fault::new("unknown_village", row.row).at(self.keys.village.unwrap_or_default());
                draft.faults.push(fault.with("village", text).with("choices", self.places.names()));
                return None;
            };
            match found {
                Some((other, _)) if other != village => {
                    let name = |at: usize| self.places.villages[at].name.as_str();
                    let fault = Fault::new("two_villages", row.row).with("number", number);
                    draft.faults.push(fault.with("first", name(other)).with("second", name(village)));
                    return None;
                }
                _ => found = Some((village, text)),
            }
        }
        Some(found.map(|(village, _)| village))
    }

    /// The group's area where the tree has one; the outer `None` when the village hasn't the group.
    fn group_of_rows(
        &self,
        village: usize,
        rows: &[ReadRow],
        draft: &mut Draft<'_>,
        changes: &mut Vec<Change>,
    ) -> Option<Option<AreaId>> {
        let field = self.schema.position("group");
        let named = rows.iter().find(|r| !r.text(field).is_empty());
        let Some(row) = named else { return Some(None) };
        let (at, text) = (&self.places.villages[village], row.text(field));
        let Some((area, name)) = at.group(text) else {
            let fault = Fault::new("unknown_group", row.row).with("village", &at.name).with("group", text);
            draft.faults.push(fault);
            return None;
        };
        draft.want("group".to_owned(), Value::Text(name), changes);
        Some(area)
    }
}
