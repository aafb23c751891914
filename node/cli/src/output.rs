//! How answers look: a table for people, the API's own JSON for programs. One value, two renderers.

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns.
    #[default]
    Table,
    /// The document of the admin API.
    Json,
}

/// Writes `document` as JSON, or as what `table` makes of it.
pub fn render<T: Serialize>(format: Format, document: &T, table: impl FnOnce(&T) -> String) -> String {
    match format {
        Format::Table => table(document),
        // Documents have text keys only, so this cannot fail; if it did, an empty line is no document.
        Format::Json => serde_json::to_string_pretty(document).unwrap_or_default() + "\n",
    }
}

/// Rows under a line of titles.
pub(crate) fn columns(titles: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = plain();
    table.set_header(titles.to_vec());
    rows.into_iter().for_each(|row| {
        table.add_row(row);
    });
    text(&table)
}

/// One value a line, with its name before it.
pub fn pairs(rows: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut table = plain();
    rows.into_iter().for_each(|(name, value)| {
        table.add_row([name.to_owned(), value]);
    });
    text(&table)
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn text(table: &Table) -> String {
    let lines = table.trim_fmt();
    lines.lines().map(|line| format!("{}\n", line.trim())).collect()
}

/// Bytes as people read them.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = 0;
    while unit + 1 < UNITS.len() && count >> (10 * (unit + 1)) > 0 {
        unit += 1;
    }
    let tenths = (u128::from(count) * 10) >> (10 * unit);
    if unit == 0 { format!("{count} B") } else { format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_short() {
        let shown = [0, 1023, 1024, 1536, 5 << 30].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 GiB"]);
        assert!(bytes(u64::MAX).ends_with("PiB"));
    }

    #[test]
    fn columns_are_aligned_and_end_where_the_text_ends() {
        let shown = columns(&["ID", "ZONE"], [vec!["abc".into(), "a".into()], vec!["d".into(), "b".into()]]);
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines.len(), 3, "{shown}");
        let at = lines[0].find("ZONE");
        assert_eq!((lines[1].find(" a"), lines[2].find(" b")), (at.map(|at| at - 1), at.map(|at| at - 1)));
    }
}
