//! Figures of one run: latencies, rates, errors, costs; as a table for people or one JSON line.
//!
//! Owns the arithmetic and the layout. Pure; printing is the binary's.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::process::Usage;
use crate::size::{GIB, MIB};

/// What the workers counted together.
#[derive(Debug, Default)]
pub struct Outcome {
    /// One entry per operation that succeeded.
    pub latencies: Vec<Duration>,
    /// Things done: operations, or tags and repositories when an operation makes several.
    pub items: u64,
    /// Bytes of bodies moved in the measured direction.
    pub bytes: u64,
    /// Failed operations by [`crate::LoadError::label`].
    pub errors: BTreeMap<String, u64>,
    /// From the first start to the last end.
    pub elapsed: Duration,
}

impl Outcome {
    /// Adds what another worker or round did; times are not added.
    pub fn merge(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.items += other.items;
        self.bytes += other.bytes;
        for (label, count) in other.errors {
            *self.errors.entry(label).or_default() += count;
        }
    }
}

/// The figures of one run. Times in milliseconds or seconds, memory in MiB, as the names say.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Name given on the command line, usually the server's.
    pub label: String,
    /// The workload.
    pub workload: String,
    /// Connections used at once.
    pub concurrency: usize,
    /// Items done without error.
    pub items: u64,
    /// Wall time of the run.
    pub seconds: f64,
    /// Items a second.
    pub per_second: f64,
    /// Body bytes a second, in MiB.
    pub mib_per_second: f64,
    /// Median latency of an operation.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Slowest operation.
    pub max_ms: f64,
    /// Failed operations by status or kind.
    pub errors: BTreeMap<String, u64>,
    /// Processor seconds that this tool used: shows when the client is the limit.
    pub client_cpu_seconds: f64,
    /// The server's costs, when its pid was given.
    #[serde(flatten)]
    pub server: Option<ServerCost>,
}

/// What the server used for a run.
#[derive(Debug, Serialize)]
pub struct ServerCost {
    /// User and system time.
    pub cpu_seconds: f64,
    /// The same per GiB of bodies; absent when none moved.
    pub cpu_seconds_per_gib: Option<f64>,
    /// The same per item, in microseconds.
    pub cpu_us_per_item: Option<f64>,
    /// Resident before the run.
    pub rss_before_mib: f64,
    /// Most resident during the run.
    pub rss_peak_mib: f64,
    /// Resident after the run.
    pub rss_after_mib: f64,
    /// Most resident that no file backs.
    pub anonymous_peak_mib: f64,
}

impl Report {
    /// Turns counts into figures.
    pub fn new(
        label: &str,
        workload: &str,
        concurrency: usize,
        mut outcome: Outcome,
        client_cpu_seconds: f64,
        usage: Option<Usage>,
    ) -> Self {
        outcome.latencies.sort_unstable();
        let seconds = outcome.elapsed.as_secs_f64();
        let rate = |amount: f64| if seconds > 0.0 { amount / seconds } else { 0.0 };
        Self {
            label: label.into(),
            workload: workload.into(),
            concurrency,
            items: outcome.items,
            seconds,
            per_second: rate(outcome.items as f64),
            mib_per_second: rate(outcome.bytes as f64 / MIB as f64),
            p50_ms: percentile(&outcome.latencies, 50.0),
            p99_ms: percentile(&outcome.latencies, 99.0),
            max_ms: percentile(&outcome.latencies, 100.0),
            server: usage.map(|usage| ServerCost::new(usage, outcome.bytes, outcome.items)),
            errors: outcome.errors,
            client_cpu_seconds,
        }
    }

    /// Lines for a terminal.
    pub fn table(&self) -> String {
        let mut out = format!("{} {} x{}\n", self.label, self.workload, self.concurrency);
        let mut row = |name: &str, value: String| out.push_str(&format!("  {name:<18} {value}\n"));
        row("items", format!("{} in {:.2} s", self.items, self.seconds));
        row("rate", format!("{:.1}/s, {:.1} MiB/s", self.per_second, self.mib_per_second));
        row("latency ms", format!("p50 {:.3}  p99 {:.3}  max {:.3}", self.p50_ms, self.p99_ms, self.max_ms));
        row("errors", format!("{:?}", self.errors));
        row("client CPU", format!("{:.2} s", self.client_cpu_seconds));
        if let Some(cost) = &self.server {
            let per_gib = cost.cpu_seconds_per_gib.map_or("-".into(), |cost| format!("{cost:.3}"));
            let per_item = cost.cpu_us_per_item.map_or("-".into(), |cost| format!("{cost:.1}"));
            row("server CPU", format!("{:.2} s, {per_gib} s/GiB, {per_item} us/item", cost.cpu_seconds));
            let memory = [cost.rss_before_mib, cost.rss_peak_mib, cost.rss_after_mib];
            row(
                "server RSS MiB",
                format!("{:.1} before, {:.1} peak, {:.1} after", memory[0], memory[1], memory[2]),
            );
        }
        out
    }
}

impl ServerCost {
    fn new(usage: Usage, bytes: u64, items: u64) -> Self {
        let mib = |bytes: u64| bytes as f64 / MIB as f64;
        Self {
            cpu_seconds: usage.cpu_seconds,
            cpu_seconds_per_gib: (bytes > 0).then(|| usage.cpu_seconds / (bytes as f64 / GIB as f64)),
            cpu_us_per_item: (items > 0).then(|| usage.cpu_seconds * 1e6 / items as f64),
            rss_before_mib: mib(usage.rss_before),
            rss_peak_mib: mib(usage.rss_peak),
            rss_after_mib: mib(usage.rss_after),
            anonymous_peak_mib: mib(usage.anonymous_peak),
        }
    }
}

/// Nearest-rank percentile of sorted latencies, in milliseconds; 0 of none.
fn percentile(sorted: &[Duration], percent: f64) -> f64 {
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let sorted: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&sorted, 50.0), 100.0);
        assert_eq!(percentile(&sorted, 99.0), 198.0);
        assert_eq!(percentile(&sorted, 100.0), 200.0);
        assert_eq!(percentile(&[], 99.0), 0.0);
    }

    #[test]
    fn costs_are_given_per_gib() {
        let outcome = Outcome {
            latencies: vec![Duration::from_secs(2)],
            items: 1,
            bytes: 2 * GIB,
            elapsed: Duration::from_secs(2),
            ..Outcome::default()
        };
        let usage = Usage { cpu_seconds: 3.0, ..Usage::default() };
        let report = Report::new("x", "blob-get", 1, outcome, 0.0, Some(usage));
        assert_eq!(report.mib_per_second, 1024.0);
        assert_eq!(report.server.unwrap().cpu_seconds_per_gib, Some(1.5));
    }
}
