//! Columns for people.

use std::io::Write as _;

/// Rows of cells under a heading; columns are as wide as they need to be, the last one is not padded.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(heading: &[&str]) -> Self {
        Table { rows: vec![heading.iter().map(|cell| cell.to_string()).collect()] }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths);
            let line: Vec<String> = cells.map(|(cell, width)| format!("{cell:<width$}")).collect();
            writeln!(f, "{}", line.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// Prints text that ends its lines itself. A reader that has gone away (`headend status | head`) ends the program.
pub(super) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Prints one JSON value on a line of its own.
pub(super) fn print_json(value: &serde_json::Value) {
    print(&format!("{value}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_trailing_blanks() {
        let mut table = Table::new(&["NAME", "STATE"]);
        table.row(vec!["Display_1".into(), "up".into()]);
        table.row(vec!["é".into(), String::new()]);
        assert_eq!(table.to_string(), "NAME       STATE\nDisplay_1  up\né\n");
    }
}
