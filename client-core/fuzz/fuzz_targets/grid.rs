#![no_main]
//! Any bytes as a register's workbook: rows in order with cells in order, or an error with words.

use doorstep_core::form::import::grid::{Grid, GridLimits};
use libfuzzer_sys::fuzz_target;

const LIMITS: GridLimits = GridLimits {
    file_bytes: 1 << 20,
    inflated_bytes: 8 << 20,
    shared_texts: 100_000,
    shared_bytes: 4 << 20,
    cells: 100_000,
    text_bytes: 4 << 20,
    cell_bytes: 8 << 10,
    columns: 64,
};

fuzz_target!(|data: &[u8]| {
    let mut grid = match Grid::open(data, LIMITS) {
        Ok(grid) => grid,
        Err(problem) => {
            assert!(!problem.message("en").is_empty() && !problem.message("zh").is_empty());
            return;
        }
    };
    for sheet in 0..grid.sheets().len().min(4) {
        let mut last = 0;
        let _ = grid.rows(sheet, &mut |row, cells| {
            assert!(row > last && !cells.is_empty());
            assert!(cells.windows(2).all(|pair| pair[0].column < pair[1].column));
            assert!(cells.iter().all(|c| c.column < LIMITS.columns && c.text.len() <= LIMITS.cell_bytes));
            last = row;
            true
        });
    }
});
