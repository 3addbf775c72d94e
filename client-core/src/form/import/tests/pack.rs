//! The forms that ship with the program are made of the workbooks in `forms/pack`.

use std::path::Path;

use super::{accepted, import, warnings};
use crate::form::Pack;

#[test]
fn the_built_in_definitions_are_what_the_workbooks_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("forms");
    let mut workbooks = 0;
    for entry in std::fs::read_dir(folder.join("pack")).unwrap() {
        let workbook = entry.unwrap().path();
        if workbook.extension().is_none_or(|e| e != "xlsx") {
            continue;
        }
        workbooks += 1;
        let name = workbook.file_stem().unwrap().to_str().unwrap();
        let found = import(&std::fs::read(&workbook).unwrap(), name);
        assert_eq!(warnings(&found), Vec::<&str>::new(), "{name}");
        let json = serde_json::to_string_pretty(accepted(&found)).unwrap() + "\n";
        let definition = folder.join(name).with_extension("json");
        if std::env::var_os("DOORSTEP_WRITE_FORMS").is_some() {
            std::fs::write(&definition, &json).unwrap();
        }
        assert!(
            std::fs::read_to_string(&definition).unwrap() == json,
            "{name}: run this test with DOORSTEP_WRITE_FORMS=1 to make the definitions anew"
        );
    }
    assert_eq!(workbooks, Pack::built_in().forms().len());
}
