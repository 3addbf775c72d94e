//! What lists of each format become, and what is refused.
#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use super::*;
use crate::form::Pack;

fn cells(table: &Table, column: &str) -> Vec<String> {
    let at = table.column(column, "");
    let cell = |item| at.map_or_else(String::new, |at| table.cell(item, at).to_string());
    (0..u32::try_from(table.len()).unwrap()).map(cell).collect()
}

fn of_csv(text: &str, column: &str) -> Vec<String> {
    cells(&csv_table(text.as_bytes()), column)
}

fn fault(name: &str, text: &str) -> Fault {
    match read_table(name, text.as_bytes()).unwrap_err() {
        AttachmentError::Unreadable { reason, .. } => reason,
        other => unreachable!("{other}"),
    }
}

#[test]
fn quotes_separators_and_line_ends_of_all_kinds_are_understood() {
    assert_eq!(of_csv("name,label\na,\"x, \"\"y\"\"\nz\"\r\nb,\n\n", "label"), ["x, \"y\"\nz", ""]);
    assert_eq!(of_csv("\u{feff}name;label\na;b,c\n", "label"), ["b,c"]);
    assert_eq!(of_csv("name,label\na,\"never closed", "label"), ["never closed"]);
    assert_eq!(of_csv("", "label"), Vec::<String>::new());
    assert_eq!(of_csv("name,label,label\na,b,c\n", "label"), ["b"], "of two columns of one name the first counts");
}

#[test]
fn items_of_an_xml_instance_are_rows_with_their_child_elements_as_columns() {
    let text = "<?xml version='1.0'?><root><!-- villages -->
        <item><name>a</name><label>A &amp; B &#x4e0a;<![CDATA[<1>]]></label></item>
        <item><label>\u{4e0b}</label><name> b </name><pop>12</pop><empty/></item></root>";
    let table = read_table("v.xml", text.as_bytes()).unwrap();
    assert_eq!(cells(&table, "name"), ["a", "b"]);
    assert_eq!(cells(&table, "label"), ["A & B \u{4e0a}<1>", "\u{4e0b}"]);
    assert_eq!(cells(&table, "pop"), ["", "12"]);
}

#[test]
fn xml_with_a_document_type_own_entities_or_broken_tags_is_refused() {
    let bomb = "<!DOCTYPE r [<!ENTITY a 'aaaa'>]><root><item><name>&a;</name></item></root>";
    assert_eq!(fault("v.xml", bomb), Fault::Entities);
    assert_eq!(fault("v.xml", "<root><item><name>&a;</name></item></root>"), Fault::Entities);
    assert_eq!(fault("v.xml", "<root><item><name>a</item></root>"), Fault::Damaged);
    assert_eq!(fault("v.xml", "<root><item><name>a</name></item>"), Fault::Damaged);
    assert_eq!(fault("v.xml", "<root/>"), Fault::NoItems);
    assert_eq!(fault("v.xml", &"<a>".repeat(100_000)), Fault::Damaged);
}

#[test]
fn features_are_rows_with_id_properties_and_geometry_as_odk_writes_it() {
    let text = r#"{"type": "FeatureCollection", "features": [
        {"type": "Feature", "id": "w1", "properties": {"title": "Well", "deep": 3.5, "dry": false, "by": null},
         "geometry": {"type": "Point", "coordinates": [100.25, 26.5]}},
        {"type": "Feature", "properties": {"id": "w2", "title": "Way"},
         "geometry": {"type": "LineString", "coordinates": [[1, 2], [3, 4, 9]]}},
        {"type": "Feature", "id": 3, "properties": {},
         "geometry": {"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [5, 6], [1, 2]]]}},
        {"type": "Feature", "id": "w4", "properties": null, "geometry": null}]}"#;
    let table = read_table("wells.geojson", text.as_bytes()).unwrap();
    assert_eq!(cells(&table, "id"), ["w1", "w2", "3", "w4"]);
    assert_eq!(cells(&table, "title"), ["Well", "Way", "", ""]);
    assert_eq!(
        (cells(&table, "deep"), cells(&table, "dry")),
        (["3.5", "", "", ""].map(str::to_owned).to_vec(), ["false", "", "", ""].map(str::to_owned).to_vec())
    );
    assert_eq!(
        cells(&table, "geometry"),
        ["26.5 100.25 0 0", "2 1 0 0; 4 3 9 0", "2 1 0 0; 4 3 0 0; 6 5 0 0; 2 1 0 0", ""]
    );
}

#[test]
fn geojson_that_is_none_is_refused() {
    assert_eq!(fault("w.geojson", "{"), Fault::Damaged);
    assert_eq!(fault("w.geojson", "[1]"), Fault::Damaged);
    assert_eq!(fault("w.geojson", r#"{"type": "Feature"}"#), Fault::Damaged);
    let area = r#"{"type":"FeatureCollection","features":[{"type":"Feature","properties":{},
        "geometry":{"type":"MultiPoint","coordinates":[[1,2]]}}]}"#;
    assert_eq!(fault("w.geojson", area), Fault::Geometry);
    assert_eq!(fault("w.geojson", &"[".repeat(100_000)), Fault::Damaged);
}

#[test]
fn what_is_attached_reads_back_as_it_was_whatever_the_format() {
    let mut def = Pack::built_in().form("visit").unwrap().def().clone();
    let csv = "name;label;note\n1;\"a;b, \"\"c\"\"\";\n\"2\";\u{6751} ;x\n";
    attach(&mut def, "v.csv", csv.as_bytes()).unwrap();
    let xml = "<root><item><name>a</name><label>x,\"y\"\n z</label></item></root>";
    attach(&mut def, "w.xml", xml.as_bytes()).unwrap();
    let tables = tables(&def);
    assert_eq!(cells(&tables["v.csv"], "label"), ["a;b, \"c\"", "\u{6751}"]);
    assert_eq!(cells(&tables["v.csv"], "note"), ["", "x"]);
    assert_eq!(cells(&tables["w.xml"], "label"), ["x,\"y\"\n z"]);
}

#[test]
fn a_single_column_with_a_semicolon_in_its_name_stays_one() {
    let mut def = Pack::built_in().form("visit").unwrap().def().clone();
    attach(&mut def, "v.csv", b"a;b,\nx;y,\n").unwrap();
    assert_eq!(cells(&tables(&def)["v.csv"], "a;b"), ["x;y"]);
}

#[test]
fn lists_that_are_too_large_alone_or_together_are_refused_by_name() {
    let mut def = Pack::built_in().form("visit").unwrap().def().clone();
    let list = |bytes: usize| format!("name\n{}", "abcdefg\n".repeat(bytes / 8));
    assert_eq!(
        attach(&mut def, "big.csv", list(LIST_BYTES_MAX + 8).as_bytes()),
        Err(AttachmentError::TooLarge("big.csv".into()))
    );
    attach(&mut def, "one.csv", list(LIST_BYTES_MAX - 64).as_bytes()).unwrap();
    let second = attach(&mut def, "two.csv", list(LIST_BYTES_MAX - 64).as_bytes());
    assert_eq!(second, Err(AttachmentError::TooLargeTogether));
    assert_eq!(def.attachments.keys().collect::<Vec<_>>(), ["one.csv"]);
    assert_eq!(attach(&mut def, "v.exe", b""), Err(AttachmentError::UnknownFormat("v.exe".into())));
    assert!(attach(&mut def, "v.csv", b"name\n\xff\n").is_err());
}
