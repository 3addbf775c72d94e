#![no_main]
//! Any bytes as an attached list: an error that names the file, or a list that reads back the same from the form. The first
//! byte chooses the format.

use doorstep_core::form::attachment::{attach, read_table};
use doorstep_core::form::expression::Table;
use doorstep_core::form::{Form, Pack};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let name = ["v.csv", "v.xml", "v.geojson"][usize::from(choice) % 3];
    let read = read_table(name, bytes);
    let mut def = Pack::built_in().form("visit").expect("a form of the pack").def().clone();
    match (read, attach(&mut def, name, bytes)) {
        (Ok(table), Ok(())) => assert_eq!(cells(&table), cells(&Form::new(def).attached()[name])),
        // what can be read may still be too large for a form
        (Ok(_), Err(error)) | (Err(error), Err(_)) => assert!(error.to_string().contains(name), "{error}"),
        (Err(error), Ok(())) => panic!("attached and not read: {error}"),
    }
});

/// Items with what isn't blank in them.
fn cells(table: &Table) -> Vec<Vec<(String, String)>> {
    let columns: Vec<(usize, &str)> = table.column_names().enumerate().collect();
    let item = |item: u32| {
        let cell = |(at, name): &(usize, &str)| ((*name).to_owned(), table.cell(item, *at).trim().to_owned());
        columns.iter().map(cell).filter(|(_, text)| !text.is_empty()).collect()
    };
    let items: Vec<Vec<_>> = (0..u32::try_from(table.len()).expect("bounded")).map(item).collect();
    items.into_iter().filter(|item| !item.is_empty()).collect()
}
