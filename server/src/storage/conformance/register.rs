//! Imports of the register.

use super::*;
use crate::storage::register::{ImportDevice, ImportRow, ImportState, NewImport};

claims!(
    imports_are_numbered_by_township_and_the_same_file_goes_on_with_the_one_that_runs,
    the_records_of_an_import_keep_what_was_noted_first_and_come_in_pages,
    the_devices_of_imports_are_kept,
    a_mapping_of_columns_is_remembered_by_township_kind_and_headers,
);

fn import(file: u8) -> NewImport {
    NewImport {
        kind: "households".to_owned(),
        file_name: "台账.xlsx".to_owned(),
        file_hash: [file; 32],
        user: USER,
        started_ms: 10,
    }
}

fn begin(storage: &dyn Storage, township: AreaId, import: &NewImport) -> ImportRow {
    let entry = |row: &ImportRow| audited(&format!("import/{}", row.no));
    storage.begin_import(township, import, &entry).unwrap()
}

fn imports_are_numbered_by_township_and_the_same_file_goes_on_with_the_one_that_runs(storage: Arc<dyn Storage>) {
    let first = begin(&*storage, TOWNSHIP, &import(1));
    assert_eq!((first.no, first.state, first.import.clone()), (1, ImportState::Running, import(1)));
    assert_eq!(begin(&*storage, TOWNSHIP, &import(2)).no, 2);
    assert_eq!(begin(&*storage, OTHER_TOWNSHIP, &import(1)).no, 1);
    let again = begin(&*storage, TOWNSHIP, &NewImport { started_ms: 99, ..import(1) });
    assert_eq!((again.no, again.import.started_ms), (1, 10));
    act(&*storage, Write::Import(TOWNSHIP, 1, ImportState::Done, 20, Some("{\"a\":1}".to_owned())));
    act(&*storage, Write::Import(TOWNSHIP, 1, ImportState::Undone, 30, None));
    assert_eq!(begin(&*storage, TOWNSHIP, &import(1)).no, 3, "one that is over doesn't go on");
    let all = storage.imports(TOWNSHIP, None, 10).unwrap();
    assert_eq!(all.iter().map(|i| i.no).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!((all[2].state, all[2].changed_ms, all[2].summary.as_str()), (ImportState::Undone, 30, "{\"a\":1}"));
    let begun: Vec<String> = storage.audit_after(0, 10).unwrap().into_iter().map(|row| row.entry.subjects).collect();
    assert_eq!(
        begun,
        ["import/1", "import/2", "import/1", "import/3"],
        "each that began is noted, one that went on isn't"
    );
    assert_eq!(storage.imports(TOWNSHIP, Some(3), 1).unwrap()[0].no, 2);
    assert!(storage.imports(AreaId([77; 16]), None, 10).unwrap().is_empty());
}

fn the_records_of_an_import_keep_what_was_noted_first_and_come_in_pages(storage: Arc<dyn Storage>) {
    let no = begin(&*storage, TOWNSHIP, &import(1)).no;
    let id = |n| RecordId([n; 16]);
    storage.note_import_records(TOWNSHIP, no, &[(id(3), false), (id(1), true)]).unwrap();
    storage.note_import_records(TOWNSHIP, no, &[(id(1), false), (id(2), true)]).unwrap();
    assert_eq!(storage.import_records(TOWNSHIP, no, None, 2).unwrap(), [(id(1), true), (id(2), true)]);
    assert_eq!(storage.import_records(TOWNSHIP, no, Some(id(2)), 2).unwrap(), [(id(3), false)]);
    assert!(storage.import_records(OTHER_TOWNSHIP, no, None, 2).unwrap().is_empty());
}

fn the_devices_of_imports_are_kept(storage: Arc<dyn Storage>) {
    let no = begin(&*storage, TOWNSHIP, &import(1)).no;
    let device = |n, undoes| ImportDevice { no, device: DeviceId([n; 16]), undoes };
    storage.note_import_device(TOWNSHIP, device(2, true)).unwrap();
    storage.note_import_device(TOWNSHIP, device(1, false)).unwrap();
    storage.note_import_device(TOWNSHIP, device(1, false)).unwrap();
    assert_eq!(storage.import_devices(TOWNSHIP).unwrap(), [device(1, false), device(2, true)]);
    assert!(storage.import_devices(OTHER_TOWNSHIP).unwrap().is_empty());
}

fn a_mapping_of_columns_is_remembered_by_township_kind_and_headers(storage: Arc<dyn Storage>) {
    assert_eq!(storage.column_mapping(TOWNSHIP, "households", [1; 32]).unwrap(), None);
    storage.put_column_mapping(TOWNSHIP, "households", [1; 32], "{}").unwrap();
    storage.put_column_mapping(TOWNSHIP, "households", [1; 32], "{\"a\":\"b\"}").unwrap();
    assert_eq!(storage.column_mapping(TOWNSHIP, "households", [1; 32]).unwrap().unwrap(), "{\"a\":\"b\"}");
    assert_eq!(storage.column_mapping(TOWNSHIP, "people", [1; 32]).unwrap(), None);
    assert_eq!(storage.column_mapping(OTHER_TOWNSHIP, "households", [1; 32]).unwrap(), None);
}
