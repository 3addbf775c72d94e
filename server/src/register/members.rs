//! What the rows of a household say about its members: who is who in the register, who is new, who is the head.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use doorstep_core::id::{RecordId, keyed};
use doorstep_core::record::Value;
use hmac::Mac;

use super::clean;
use super::fault::Fault;
use super::planned::{Change, Person, State};
use super::planner::{Draft, Planner, ReadRow};
use super::schema::FieldKind;

/// A member of the register.
#[derive(Debug, Default)]
struct Member {
    name: String,
    birth: String,
    id: String,
    relation: String,
    order: i64,
    left: bool,
    /// Made by an import that was undone.
    undone: bool,
}

/// Which member a row is.
enum Who {
    /// This one.
    Known(String),
    /// One who has left.
    Left,
    New,
    Several,
}

/// The fields that tell persons apart.
struct Fields {
    name: Option<usize>,
    birth: Option<usize>,
    id: Option<usize>,
    relation: Option<usize>,
    sex: Option<usize>,
    head_name: Option<usize>,
}

impl Planner<'_> {
    fn person_fields(&self) -> Fields {
        let at = |name: &str| self.schema.position(name);
        let head_name = at("head_name");
        // a list of households has a row for each, with the head's name alone
        let name = if self.keys.name.is_some() || self.keys.head_name.is_none() { at("name") } else { head_name };
        Fields { name, birth: at("birth"), id: at("id_number"), relation: at("relation"), sex: at("sex"), head_name }
    }

    /// Plans the members. `record` is the household's, `known` says that the register has it.
    pub(super) fn persons(
        &self,
        record: RecordId,
        known: bool,
        rows: &[ReadRow],
        draft: &mut Draft<'_>,
        changes: &mut Vec<Change>,
    ) -> Vec<Person> {
        let fields = self.person_fields();
        if self.only.is_none() && self.keys.name.is_none() && self.keys.head_name.is_none() {
            return Vec::new();
        }
        let members = self.members(draft);
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        let mut heads: BTreeMap<String, String> = self.present_heads(&members);
        let mut persons = Vec::new();
        let mut order = members.values().map(|m| m.order).max().unwrap_or(0);
        let written_head = self.written_head(rows, &fields, draft);
        for row in rows {
            let name = row.text(fields.name).to_owned();
            if name.is_empty() && self.only.is_none() {
                self.nameless(row, draft);
                continue;
            }
            let mut person = Person { row: row.row, name: name.clone(), state: State::Unchanged, changes: Vec::new() };
            let is_head = self.row_is_head(row, &fields, written_head.as_deref(), rows);
            let instance = match self.who(row, &fields, &members, &taken) {
                Who::Known(instance) => instance,
                Who::Left => {
                    draft.notes.add("note_left_member", self.sheet.number(row.row));
                    persons.push(person);
                    continue;
                }
                Who::Several => {
                    draft.faults.push(Fault::new("several_in_register", row.row));
                    persons.push(person);
                    continue;
                }
                Who::New if self.only.is_some() => {
                    if self.wants_member(row) {
                        draft.faults.push(Fault::new("not_in_register", row.row));
                    }
                    persons.push(person);
                    continue;
                }
                Who::New => self.new_instance(record, row, &fields, &taken, &members),
            };
            if let Some(other) = taken.insert(instance.clone(), row.row) {
                draft.faults.push(Fault::new("person_twice", row.row).with("other", self.sheet.number(other)));
            }
            self.check_id(record, row, &fields, draft);
            let is_new = !members.contains_key(&instance);
            if is_new {
                order += 1;
                draft.want(self.schema.member_key(&instance, "@order"), Value::Int(order), &mut person.changes);
            }
            self.member_answers(&instance, row, is_head, &fields, draft, &mut person.changes);
            if members.get(&instance).is_some_and(|m| m.undone) {
                for question in ["left_on", "left_why"] {
                    draft.want(self.schema.member_key(&instance, question), Value::Blank, &mut person.changes);
                }
            }
            let relation = row.text(fields.relation);
            if is_head {
                heads.insert(instance.clone(), name);
            } else if !relation.is_empty() {
                heads.remove(&instance);
            }
            person.state = match (is_new, person.changes.is_empty()) {
                (true, _) => State::New,
                (false, false) => State::Changed,
                (false, true) => State::Unchanged,
            };
            persons.push(person);
        }
        if self.only.is_none() {
            let unnamed = members.iter().filter(|(instance, m)| !m.left && !taken.contains_key(*instance)).count();
            (0..unnamed).for_each(|_| draft.notes.add("note_not_in_file", draft.row_number));
            self.check_heads(known, &heads, &taken, written_head.as_deref(), rows, draft, changes);
        }
        persons
    }

    fn nameless(&self, row: &ReadRow, draft: &mut Draft<'_>) {
        let column = self.keys.name.or(self.keys.head_name);
        let said = draft.faults.iter().any(|f| f.row == row.row && f.column == column);
        if !said {
            draft.faults.push(Fault::new("no_name", row.row));
        }
    }

    /// True when a row has a chosen column about a member.
    fn wants_member(&self, row: &ReadRow) -> bool {
        let chosen = |field: &usize| self.only.as_ref().is_some_and(|only| only.contains(field));
        row.given.iter().any(|(field, _, _)| chosen(field) && self.schema.fields[*field].of_member)
    }

    /// The members of the register by instance, those removed left out.
    fn members(&self, draft: &Draft<'_>) -> BTreeMap<String, Member> {
        let mut members: BTreeMap<String, Member> = BTreeMap::new();
        let mut removed = BTreeSet::new();
        let start = format!("{}#", self.schema.repeat);
        for (key, value) in draft.answers.now.range(start.clone()..).take_while(|(k, _)| k.starts_with(&start)) {
            let Some((instance, leaf)) = key[start.len()..].split_once('/') else { continue };
            let member = members.entry(instance.to_owned()).or_default();
            match (leaf, value) {
                ("name", Value::Text(text)) => member.name = clean::name(text),
                ("birth", Value::Text(text)) => member.birth.clone_from(text),
                ("id_number", Value::Text(text)) => member.id.clone_from(text),
                ("relation", Value::Text(text)) => member.relation.clone_from(text),
                ("left_on", Value::Text(_)) => member.left = true,
                ("left_why", Value::Text(text)) => member.undone = text == "error",
                ("@order", Value::Int(order)) => member.order = *order,
                ("@deleted", Value::Bool(true)) => drop(removed.insert(instance.to_owned())),
                _ => {}
            }
        }
        members.retain(|instance, _| !removed.contains(instance));
        members
    }

    fn present_heads(&self, members: &BTreeMap<String, Member>) -> BTreeMap<String, String> {
        let heads = members.iter().filter(|(_, m)| m.relation == "head" && !m.left);
        heads.map(|(instance, m)| (instance.clone(), m.name.clone())).collect()
    }

    /// The head as a column of its own names it.
    fn written_head(&self, rows: &[ReadRow], fields: &Fields, draft: &mut Draft<'_>) -> Option<String> {
        self.keys.name?;
        let mut written: Option<String> = None;
        for row in rows {
            let name = row.text(fields.head_name);
            match &written {
                _ if name.is_empty() => {}
                Some(other) if other != name => {
                    let fault = Fault::new("two_heads", row.row).with("first", other);
                    draft.faults.push(fault.with("second", name));
                    return written;
                }
                _ => written = Some(name.to_owned()),
            }
        }
        written
    }

    /// A row is the head's by its relation; where no row of the household has one, by the head's name.
    fn row_is_head(&self, row: &ReadRow, fields: &Fields, written: Option<&str>, rows: &[ReadRow]) -> bool {
        if self.is_head(row) {
            return true;
        }
        if fields.name == fields.head_name {
            return row.text(fields.relation).is_empty();
        }
        let no_relations = rows.iter().all(|r| r.text(fields.relation).is_empty());
        no_relations && written.is_some_and(|w| w == row.text(fields.name))
    }

    fn who(
        &self,
        row: &ReadRow,
        fields: &Fields,
        members: &BTreeMap<String, Member>,
        taken: &BTreeMap<String, usize>,
    ) -> Who {
        let (name, birth, id) = (row.text(fields.name), row.text(fields.birth), row.text(fields.id));
        let by_id: Vec<_> = members.iter().filter(|(_, m)| !id.is_empty() && m.id == id).collect();
        let free = |instance: &String| !taken.contains_key(instance);
        let by_birth: Vec<_> = members
            .iter()
            .filter(|(i, m)| m.name == name && m.birth == birth && !birth.is_empty() && free(i))
            .collect();
        let agrees = |a: &str, b: &str| a.is_empty() || b.is_empty() || a == b;
        let by_name: Vec<_> = members
            .iter()
            .filter(|(i, m)| m.name == name && agrees(&m.birth, birth) && agrees(&m.id, id) && free(i))
            .collect();
        for found in [by_id, by_birth, by_name] {
            let present: Vec<_> = found.iter().filter(|(_, m)| !m.left || m.undone).collect();
            match present.as_slice() {
                [(instance, _)] => return Who::Known((*instance).clone()),
                [] if !found.is_empty() => return Who::Left,
                [] => {}
                [..] => return Who::Several,
            }
        }
        Who::New
    }

    /// An instance for a member that the register doesn't have. It follows from household, name and birth, never from an ID
    /// number: phones hold the key, and an ID number has few unknown digits.
    fn new_instance(
        &self,
        record: RecordId,
        row: &ReadRow,
        fields: &Fields,
        taken: &BTreeMap<String, usize>,
        members: &BTreeMap<String, Member>,
    ) -> String {
        let tenant_key = self.service.tenant_key();
        let mut attempt = 0u32;
        loop {
            let mut mac = keyed(&tenant_key.0, "doorstep/register-member/1");
            mac.update(&record.0);
            mac.update(&attempt.to_be_bytes());
            mac.update(row.text(fields.name).as_bytes());
            mac.update(b"\0");
            mac.update(row.text(fields.birth).as_bytes());
            let instance = HEXLOWER.encode(&mac.finalize().into_bytes()[..6]);
            if !taken.contains_key(&instance) && !members.contains_key(&instance) {
                return instance;
            }
            attempt += 1;
        }
    }

    /// An ID number of the row that the register has in another household.
    fn check_id(&self, record: RecordId, row: &ReadRow, fields: &Fields, draft: &mut Draft<'_>) {
        let id = row.text(fields.id);
        if id.is_empty() {
            return;
        }
        let elsewhere = self.content.by_id(id).into_iter().find(|(at, _)| self.content.household(*at).record != record);
        if let Some((at, _)) = elsewhere {
            let fault = Fault::new("id_elsewhere", row.row).with("number", self.content.number(at));
            draft.faults.push(self.keys.id.map_or(fault.clone(), |column| fault.at(column)));
        }
    }

    fn member_answers(
        &self,
        instance: &str,
        row: &ReadRow,
        is_head: bool,
        fields: &Fields,
        draft: &mut Draft<'_>,
        changes: &mut Vec<Change>,
    ) {
        for (field, _, given) in &row.given {
            let wanted = self.only.as_ref().is_none_or(|only| only.contains(field));
            if wanted && self.schema.fields[*field].of_member {
                draft.want_given(&self.schema.key(*field, instance), given, changes);
            }
        }
        if self.only.is_some() {
            return;
        }
        if fields.name == fields.head_name {
            draft.want(self.schema.member_key(instance, "name"), row.text(fields.name).into(), changes);
        }
        if is_head && fields.relation.is_some() {
            draft.want(self.schema.member_key(instance, "relation"), "head".into(), changes);
        }
        self.answers_of_id(instance, row, fields, draft, changes);
    }

    /// Birth and sex stand in the ID number; they are taken from it only where nobody said them.
    fn answers_of_id(
        &self,
        instance: &str,
        row: &ReadRow,
        fields: &Fields,
        draft: &mut Draft<'_>,
        changes: &mut Vec<Change>,
    ) {
        let id = row.text(fields.id);
        let sex = clean::is_male_id(id).map(|male| if male { "male" } else { "female" }.to_owned());
        for (field, value) in [(fields.birth, clean::birth_of_id(id)), (fields.sex, sex)] {
            let (Some(field), Some(value)) = (field, value) else { continue };
            let key = self.schema.key(field, instance);
            let fits =
                self.schema.fields[field].kind == FieldKind::Date || self.schema.fields[field].choices.contains(&value);
            if fits && row.get(Some(field)).is_none() && *draft.answers.now(&key) == Value::Blank {
                draft.notes.add("note_from_id", self.sheet.number(row.row));
                draft.want(key, Value::Text(value), changes);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all that is known of the household's heads")]
    fn check_heads(
        &self,
        known: bool,
        heads: &BTreeMap<String, String>,
        taken: &BTreeMap<String, usize>,
        written: Option<&str>,
        rows: &[ReadRow],
        draft: &mut Draft<'_>,
        changes: &mut Vec<Change>,
    ) {
        let first = rows.first().map_or(0, |r| r.row);
        let row_of = |instance: &String| taken.get(instance).copied();
        let in_file: Vec<(&String, &String)> = heads.iter().filter(|(i, _)| taken.contains_key(*i)).collect();
        match (heads.len(), in_file.as_slice()) {
            (0, _) if draft.faults.iter().any(|f| f.code == "no_number") => {}
            (0, _) if !known || self.keys.relation.is_some() => draft.faults.push(Fault::new("no_head", first)),
            (0, _) => {}
            (1, [(instance, name)]) => {
                if let Some(written) = written.filter(|w| w != name) {
                    let row = row_of(instance).unwrap_or(first);
                    draft.faults.push(Fault::new("head_differs", row).with("written", written).with("name", name));
                } else {
                    draft.want("head_name".to_owned(), name.as_str().into(), changes);
                }
            }
            (1, _) => {
                let registered = heads.values().next().map(String::as_str);
                if let (Some(_), Some(name)) = (written, registered.filter(|name| Some(*name) != written)) {
                    draft.faults.push(Fault::new("other_head", first).with("name", name));
                }
            }
            (_, [(instance, _)]) => {
                let other = heads.iter().find(|(i, _)| i != instance).map_or("", |(_, name)| name.as_str());
                draft.faults.push(Fault::new("other_head", row_of(instance).unwrap_or(first)).with("name", other));
            }
            (_, several) => {
                let mut by_row: Vec<(usize, &str)> =
                    several.iter().filter_map(|(i, name)| Some((row_of(i)?, name.as_str()))).collect();
                by_row.sort_unstable();
                let at = |at: usize| by_row.get(at).copied().unwrap_or((first, ""));
                let fault = Fault::new("two_heads", at(1).0).with("first", at(0).1).with("second", at(1).1);
                draft.faults.push(fault);
            }
        }
    }
}
