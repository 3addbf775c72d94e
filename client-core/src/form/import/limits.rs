//! Every limit of a workbook, in one place. They are checked before memory is used, so that no workbook of any bytes costs
//! more than some 100 MB; real forms stay far below them.

/// Largest file, in bytes.
pub(super) const FILE_BYTES: usize = 24 * 1024 * 1024;
/// Most entries of a zip container.
pub(super) const ZIP_ENTRIES: usize = 4_096;
/// Most bytes that all parts of a workbook together may have once inflated, in bytes.
pub(super) const INFLATED_BYTES: u64 = 64 * 1024 * 1024;
/// Largest single piece of XML (a tag with its attributes, a run of text), in bytes.
pub(super) const XML_PIECE_BYTES: u64 = 1024 * 1024;
/// Most cells with a value, over all sheets.
pub(super) const CELLS: usize = 500_000;
/// Most text in all cells together, in bytes.
pub(super) const TEXT_BYTES: usize = 24 * 1024 * 1024;
/// Longest text of one cell, in bytes.
pub(super) const CELL_BYTES: usize = 64 * 1024;
/// Most shared texts of a workbook.
pub(super) const SHARED_TEXTS: usize = 1_000_000;
/// Most cell formats of a workbook.
pub(super) const CELL_FORMATS: usize = 100_000;
/// Most sheets of a workbook.
pub(super) const SHEETS: usize = 512;
/// Most rows of the survey sheet.
pub(super) const SURVEY_ROWS: usize = 10_000;
/// Most choices of all lists together.
pub(super) const CHOICES: usize = 100_000;
/// Deepest nesting of groups and repeats.
pub(super) const GROUP_DEPTH: usize = 32;
/// A run of more than this many empty header cells ends the header.
pub(super) const EMPTY_HEADERS: usize = 20;
/// A run of more than this many empty rows ends a sheet.
pub(super) const EMPTY_ROWS: u32 = 60;
/// Most diagnostics kept; what follows is only counted.
pub(super) const DIAGNOSTICS: usize = 400;
/// Longest text from the workbook quoted in a diagnostic, in characters.
pub(super) const QUOTED_CHARS: usize = 80;
/// Longest name of a question, in bytes: it is part of every answer's key.
pub(super) const NAME_BYTES: usize = 128;
