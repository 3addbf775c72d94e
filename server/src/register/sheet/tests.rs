#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use proptest::prelude::*;

use super::*;

fn texts(sheet: &Sheet) -> Vec<(u32, Vec<(u16, String)>)> {
    let cells = |row| sheet.cells(row).map(|c| (c.column, c.text.to_owned())).collect();
    (0..sheet.len()).map(|row| (sheet.number(row), cells(row))).collect()
}

fn csv(bytes: &[u8]) -> Sheet {
    read(bytes, None, &|_| true).unwrap()
}

#[test]
fn a_csv_reads_the_same_in_every_encoding_with_every_separator() {
    let text = "户编号,姓名\n0001,王䶮\n,\"李,四\"\n";
    let expected = texts(&csv(text.as_bytes()));
    assert_eq!(expected[1], (2, vec![(0, "0001".to_owned()), (1, "王䶮".to_owned())]));
    assert_eq!(expected[2], (3, vec![(1, "李,四".to_owned())]));
    let (gbk, _, failed) = GB18030.encode(text);
    assert!(!failed);
    let utf16: Vec<u8> = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let bare: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (bytes, format) in [
        ([b"\xEF\xBB\xBF", text.as_bytes()].concat(), "utf-8 (bom)"),
        (gbk.into_owned(), "gbk"),
        (utf16, "utf-16"),
        (bare, "utf-16"),
    ] {
        let sheet = csv(&bytes);
        assert_eq!((texts(&sheet), sheet.format), (expected.clone(), format));
    }
    for separator in [";", "\t"] {
        let other = format!("户编号{separator}姓名\n0001{separator}王䶮\n{separator}李,四\n");
        assert_eq!(texts(&csv(other.as_bytes())), expected, "{separator:?}");
    }
}

#[test]
fn rows_are_numbered_as_a_spreadsheet_does_with_blank_lines_and_line_breaks_in_cells() {
    let sheet = csv("a,b\n\n\"x\ny\",1\n ,\u{3000}\nc,2\n".as_bytes());
    let numbers: Vec<u32> = (0..sheet.len()).map(|row| sheet.number(row)).collect();
    assert_eq!(numbers, [1, 3, 5]);
}

#[test]
fn what_is_no_table_is_refused_with_advice() {
    let error = |bytes: &[u8]| read(bytes, None, &|_| true).unwrap_err().text().zh;
    assert!(error(b"%PDF-1.4").contains("xlsx"));
    assert!(error(b"").contains('空'));
    assert!(error(b"\x81\xff\xff\x30\x80,\n").contains("UTF-8"));
    assert!(error(b"PK\x03\x04broken").contains('坏'), "{}", error(b"PK\x03\x04broken"));
}

#[test]
fn the_sheet_whose_first_rows_are_known_is_read_and_numbers_keep_their_kind() {
    let mut book = rust_xlsxwriter::Workbook::new();
    book.add_worksheet().set_name("填表说明").unwrap().write(0, 0, "请按户填写").unwrap();
    let sheet = book.add_worksheet().set_name("台账").unwrap();
    sheet.write(2, 1, "姓名").unwrap();
    sheet.write(3, 1, 370_000_000_000_000_000u64 as f64).unwrap();
    let bytes = book.save_to_buffer().unwrap();
    let known = |sheet: &Sheet| sheet.cells(0).any(|c| c.text == "姓名");
    let read_ = read(&bytes, None, &known).unwrap();
    assert_eq!((read_.name.as_str(), read_.format, read_.number(0)), ("台账", "xlsx", 3));
    let number = read_.cell(1, 1).unwrap();
    assert_eq!((number.kind, number.text), (CellKind::Number, "370000000000000000"));
    assert_eq!(read(&bytes, Some("填表说明"), &known).unwrap().len(), 1);
    assert!(matches!(read(&bytes, Some("另一张"), &known), Err(SheetError::Table("no_such_sheet"))));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), start in 0..5usize) {
        const STARTS: [&[u8]; 5] = [b"", b"PK\x03\x04", b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", b"\xff\xfe", "户编号,姓名\n".as_bytes()];
        bytes.splice(0..0, STARTS[start].iter().copied());
        let _ = read(&bytes, None, &|_| false).map(|sheet| texts(&sheet));
    }

    #[test]
    fn a_spoilt_workbook_is_read_or_refused(at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
        let mut book = rust_xlsxwriter::Workbook::new();
        book.add_worksheet().write(0, 0, "姓名").unwrap().write(1, 0, 3.5).unwrap();
        let mut bytes = book.save_to_buffer().unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(cut.index(bytes.len()).max(bytes.len() / 2));
        let _ = read(&bytes, None, &|_| false).map(|sheet| texts(&sheet));
    }
}
