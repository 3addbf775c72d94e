//! How much processor time an import takes and how much memory it may cost: `cargo run --release -p doorstep-core --features import
//! --example import_speed`. A form of 500 questions must stay under 50 ms, one with 10,000 choices under 150 ms.

#![allow(clippy::print_stdout, reason = "a measuring program")]

use std::io::{Cursor, Write};
use std::sync::LazyLock;
use std::time::Instant;

use doorstep_core::form::import::import;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

type Rows = Vec<Vec<String>>;

fn main() {
    let simple = |rows: Rows, choices: Rows| workbook(&[("survey", rows), ("choices", choices)]);
    measure("500 questions", &simple(questions(500), choices(50)));
    measure("1,000 questions, 200 dependents", &simple(questions(1_000), choices(50)));
    measure("10,000 choices", &simple(questions(20), choices(10_000)));
    measure("100,000 choices (the most)", &simple(questions(20), choices(99_999)));
    measure("a bomb of 1 GB", &bomb());
    println!("peak memory of all: {} MB", peak_mb());
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|c| (*c).to_owned()).collect()
}

fn questions(count: usize) -> Rows {
    let header =
        ["type", "name", "label::English (en)", "label::中文 (zh)", "hint", "relevant", "constraint", "calculation"];
    let mut rows = vec![row(&header)];
    for i in 0..count {
        let (name, label) = (format!("q{i}"), format!("Question {i} about the household and its members"));
        let before = format!("${{q{}}} > 3 and ${{q0}} != ''", i.saturating_sub(1) / 5 * 5);
        let relevant = if i % 5 == 3 { before.as_str() } else { "" };
        rows.push(match i % 5 {
            4 => row(&["calculate", &name, "", "", "", "", "", &format!("if(${{q{}}} > 0, ${{q0}}, 1) + 2", i - 1)]),
            1 => row(&["select_one list", &name, &label, "选择", "one", relevant, "", ""]),
            _ => row(&["integer", &name, &label, "第几题", "a number", relevant, ". >= 0 and . <= 120", ""]),
        });
    }
    rows
}

fn choices(count: usize) -> Rows {
    let mut rows = vec![row(&["list_name", "name", "label::English (en)", "label::中文 (zh)", "county"])];
    rows.extend((0..count).map(|i| {
        row(&["list", &format!("w{i}"), &format!("Ward number {i}"), &format!("第{i}村"), &format!("c{}", i % 97)])
    }));
    rows
}

fn workbook(sheets: &[(&str, Rows)]) -> Vec<u8> {
    let mut parts = Vec::new();
    let (mut list, mut relations) = (String::new(), String::new());
    let mut shared = String::new();
    let mut count = 0;
    for (i, (name, rows)) in sheets.iter().enumerate() {
        let mut xml = String::from("<worksheet><sheetData>");
        for (r, cells) in rows.iter().enumerate() {
            xml.push_str(&format!("<row r=\"{}\">", r + 1));
            for (c, text) in cells.iter().enumerate().filter(|(_, t)| !t.is_empty()) {
                let column = char::from(b'A' + c as u8);
                xml.push_str(&format!("<c r=\"{column}{}\" t=\"s\"><v>{count}</v></c>", r + 1));
                let text = text.replace('&', "&amp;").replace('<', "&lt;");
                shared.push_str(&format!("<si><t>{text}</t></si>"));
                count += 1;
            }
            xml.push_str("</row>");
        }
        parts.push((format!("xl/worksheets/sheet{i}.xml"), xml + "</sheetData></worksheet>"));
        list.push_str(&format!("<sheet name=\"{name}\" sheetId=\"{i}\" r:id=\"r{i}\"/>"));
        relations
            .push_str(&format!("<Relationship Id=\"r{i}\" Type=\"x/worksheet\" Target=\"worksheets/sheet{i}.xml\"/>"));
    }
    parts.push(("xl/sharedStrings.xml".to_owned(), format!("<sst>{shared}</sst>")));
    parts.push(("xl/workbook.xml".to_owned(), format!("<workbook xmlns:r=\"r\"><sheets>{list}</sheets></workbook>")));
    parts.push(("xl/_rels/workbook.xml.rels".to_owned(), format!("<Relationships>{relations}</Relationships>")));
    zipped(&parts)
}

fn bomb() -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let spaces = vec![b' '; 1024 * 1024];
    let mut part = |path: &str, text: &str, megabytes: usize| -> zip::result::ZipResult<()> {
        zip.start_file(path, SimpleFileOptions::default())?;
        zip.write_all(text.as_bytes())?;
        for _ in 0..megabytes {
            zip.write_all(&spaces)?;
        }
        Ok(())
    };
    let workbook = "<workbook xmlns:r=\"r\"><sheets><sheet name=\"survey\" r:id=\"r0\"/></sheets></workbook>";
    let relations =
        "<Relationships><Relationship Id=\"r0\" Type=\"x/worksheet\" Target=\"sheet.xml\"/></Relationships>";
    let written = part("xl/workbook.xml", workbook, 0)
        .and_then(|()| part("xl/_rels/workbook.xml.rels", relations, 0))
        .and_then(|()| part("xl/sheet.xml", "<worksheet><sheetData>", 1024));
    written.and_then(|()| zip.finish()).map(Cursor::into_inner).unwrap_or_default()
}

fn zipped(parts: &[(String, String)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, text) in parts {
        let written = zip.start_file(path.as_str(), SimpleFileOptions::default());
        if written.is_err() || zip.write_all(text.as_bytes()).is_err() {
            return Vec::new();
        }
    }
    zip.finish().map(Cursor::into_inner).unwrap_or_default()
}

fn measure(what: &str, bytes: &[u8]) {
    let mut times = Vec::new();
    let mut said = String::new();
    for _ in 0..7 {
        let start = cpu_ms();
        let found = import(bytes, "form");
        times.push(cpu_ms() - start);
        said = found.problems.first().map_or_else(|| "accepted".to_owned(), |p| p.code().to_owned());
    }
    times.sort_by(f64::total_cmp);
    println!("{what}: {} kB, {:.1} ms median, {:.1} ms worst, {said}", bytes.len() / 1024, times[3], times[6]);
}

/// The processor time of this thread, in milliseconds: other programs on the machine don't count.
fn cpu_ms() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let on_cpu = stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok());
    on_cpu.map_or_else(|| START.elapsed().as_secs_f64() * 1e3, |ns| ns / 1e6)
}

/// The most memory that the process had, in megabytes.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}
