//! The workbooks of tests/workbooks/cases.md, against what pyxform and ODK Validate said about them.

use super::*;

const CASES: &str = include_str!("../../../../../tests/workbooks/cases.md");

#[test]
fn workbooks_are_accepted_and_refused_as_pyxform_and_odk_validate_do_but_for_the_listed_differences() {
    let mut count = 0;
    let mut wrong = Vec::new();
    for section in CASES.split("\n## ").skip(1) {
        let name = section.lines().next().unwrap();
        let value = |key: &str| section.lines().find_map(|l| l.strip_prefix(key)).map(str::trim);
        let differs = value("doorstep:").is_some();
        let expected = (value("pyxform:") == Some("accepted")) != differs;
        let found = tables(section);
        count += 1;
        if found.publishable() != expected {
            wrong.push(format!("{name}: {:?}", errors(&found)));
        }
        if let Some(def) = &found.def {
            assert_eq!(def.validate(), Vec::new(), "{name}");
        }
    }
    assert!(count > 800, "{count}");
    assert_eq!(wrong, Vec::<String>::new());
}
