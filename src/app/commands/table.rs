//! Tables for people.

use std::fmt;
use std::iter::zip;

/// Columns of text, each as wide as its longest cell.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(titles: [&str; N]) -> Self {
        Self { rows: vec![titles.map(str::to_owned)] }
    }

    /// Control characters are left out: some of it is what others have said.
    pub(super) fn add(&mut self, row: [String; N]) {
        self.rows.push(row.map(|cell| cell.chars().filter(|c| !c.is_control()).collect()));
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in zip(&mut widths, row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for (number, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (width, cell) in zip(widths, row) {
                line += &format!("{cell:width$}  ");
            }
            f.write_str(if number == 0 { "" } else { "\n" })?;
            f.write_str(line.trim_end())?;
        }
        Ok(())
    }
}

/// How long something took or is ago, in its largest unit.
pub(super) fn rough(seconds: u64) -> String {
    match seconds {
        0..100 => format!("{seconds} s"),
        100..6000 => format!("{} min", seconds / 60),
        6000..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell_and_harmless() {
        let mut table = Table::new(["A", "B", "LAST"]);
        table.add(["wide cell".into(), "ü".into(), String::new()]);
        table.add(["\u{1b}[2J".into(), "long".into(), "x".into()]);
        assert_eq!(table.to_string(), "A          B     LAST\nwide cell  ü\n[2J        long  x");
    }

    #[test]
    fn times_are_rough() {
        for (seconds, text) in
            [(0, "0 s"), (99, "99 s"), (100, "1 min"), (5999, "99 min"), (6000, "1 h"), (172_800, "2 d")]
        {
            assert_eq!(rough(seconds), text);
        }
    }
}
