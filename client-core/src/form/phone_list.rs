//! Lists that a form names and no file brings: each phone makes them of what it holds, so they end where its user's scope ends.

use super::entity::record_type;

/// A list that is made on each phone, by the name of the file that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhoneList {
    /// `area.csv`: the areas that the user's grants reach and those above them, with `name` (the area's id), `label`, `parent`,
    /// `level` and `code`.
    Areas,
    /// `area_all.csv`: all areas of the township, for where a household moves to.
    AllAreas,
    /// `subject_REPEAT.csv`: the instances of a repeat of the record that the form is about, with `name` (the instance),
    /// `label` (its answer `name`) and the answers that everybody may see as columns.
    OfSubject(String),
    /// `TYPE.csv`: the records of a type, with `name` (the record's id), `label`, `area` and the answers as columns.
    Records(String),
}

impl PhoneList {
    /// The list that a file name stands for, if no file of this name is attached.
    pub fn named(file: &str) -> Option<Self> {
        let stem = file.strip_suffix(".csv")?;
        match stem.strip_prefix("subject_") {
            _ if stem == "area" => Some(Self::Areas),
            _ if stem == "area_all" => Some(Self::AllAreas),
            Some(repeat) if crate::record::key::is_name(repeat) => Some(Self::OfSubject(repeat.to_owned())),
            _ => record_type(stem).map(Self::Records),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_says_what_list_a_phone_makes() {
        let named = PhoneList::named;
        assert_eq!(named("area.csv"), Some(PhoneList::Areas));
        assert_eq!(named("area_all.csv"), Some(PhoneList::AllAreas));
        assert_eq!(named("subject_member.csv"), Some(PhoneList::OfSubject("member".to_owned())));
        assert_eq!(named("household.csv"), Some(PhoneList::Records("household".to_owned())));
        assert_eq!(named("household.xml"), None);
        assert_eq!(named("subject_.csv"), Some(PhoneList::Records("subject_".to_owned())));
    }
}
