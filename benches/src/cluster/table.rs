//! The table: a row per figure, with the peer's figure of the same run and the target beside it.
//!
//! Owns the layout and the facts of the machine. Pure but for reading those.

use std::fmt::Write;

/// One figure.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was done.
    pub what: String,
    /// Which figure of it, with its unit.
    pub figure: &'static str,
    /// Shoal's.
    pub ours: f64,
    /// The peer's name and figure.
    pub peer: Option<(&'static str, f64)>,
    /// In words.
    pub target: Option<Target>,
}

/// What a figure shall be.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// At least so much of the peer's.
    OfPeer(f64),
    /// At most so much of the peer's.
    OfPeerAtMost(f64),
    /// At most so much.
    AtMost(f64),
}

impl Row {
    /// A figure on its own.
    pub fn new(what: impl Into<String>, figure: &'static str, ours: f64) -> Self {
        Self { what: what.into(), figure, ours, peer: None, target: None }
    }

    /// With the peer's figure.
    #[must_use]
    pub fn beside(self, name: &'static str, figure: f64) -> Self {
        Self { peer: Some((name, figure)), ..self }
    }

    /// With what it shall be.
    #[must_use]
    pub fn target(self, target: Target) -> Self {
        Self { target: Some(target), ..self }
    }

    fn ratio(&self) -> Option<f64> {
        self.peer.map(|(_, figure)| self.ours / figure)
    }

    /// The row in markdown.
    pub fn line(&self) -> String {
        let peer = self.peer.map_or("–".into(), |(name, figure)| format!("{name} {}", show(figure)));
        let ratio = self.ratio().map_or("–".into(), show);
        let (target, met) = match self.target {
            None => ("–".into(), "–"),
            Some(Target::OfPeer(least)) => {
                let met = self.ratio().is_some_and(|ratio| ratio >= least);
                (format!("ratio ≥ {least}"), if met { "yes" } else { "NO" })
            }
            Some(Target::OfPeerAtMost(most)) => {
                let met = self.ratio().is_some_and(|ratio| ratio <= most);
                (format!("ratio ≤ {most}"), if met { "yes" } else { "NO" })
            }
            Some(Target::AtMost(most)) => (format!("≤ {most}"), if self.ours <= most { "yes" } else { "NO" }),
        };
        let (what, figure, ours) = (&self.what, self.figure, show(self.ours));
        format!("| {what} | {figure} | {ours} | {peer} | {ratio} | {target} | {met} |")
    }
}

/// All rows, below facts about the machine.
pub fn table(rows: &[Row], notes: &[String]) -> String {
    let mut out = format!("# Shoal, several nodes\n\n{}\n\n", machine());
    out.push_str(
        "| What | Figure | Shoal | Peer | Shoal/peer | Target | Met |\n|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        out.push_str(&row.line());
        out.push('\n');
    }
    for note in notes {
        // Writing to a string cannot fail.
        let _ = write!(out, "\n- {note}");
    }
    out.push('\n');
    out
}

fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = read("/proc/meminfo");
    let kib = memory.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
    let linux = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    format!(
        "{cores} cores, {} GiB, Linux {}; load before the end of the run {}. Nodes and clients share the cores.",
        kib >> 20,
        linux.trim(),
        load.split_ascii_whitespace().next().unwrap_or("?"),
    )
}

fn show(figure: f64) -> String {
    match figure {
        figure if figure >= 100.0 => format!("{figure:.0}"),
        figure if figure >= 10.0 => format!("{figure:.1}"),
        figure => format!("{figure:.2}"),
    }
}

/// The middle one; 0 of none.
pub fn median(figures: &[f64]) -> f64 {
    percentile(figures, 50.0)
}

/// Nearest-rank percentile; 0 of none.
pub fn percentile(figures: &[f64], percent: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_whether_its_target_is_met() {
        let row = Row::new("writes", "per s", 900.0).beside("etcd", 1000.0).target(Target::OfPeer(1.0));
        assert_eq!(row.line(), "| writes | per s | 900 | etcd 1000 | 0.90 | ratio ≥ 1 | NO |");
        let row = Row::new("gap", "s", 1.5).target(Target::AtMost(2.0));
        assert_eq!(row.line(), "| gap | s | 1.50 | – | – | ≤ 2 | yes |");
    }

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        assert_eq!(percentile(&[3.0, 1.0, 2.0], 99.0), 3.0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[]), 0.0);
    }
}
