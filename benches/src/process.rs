//! What a server process costs: processor time and resident memory, read from `/proc`.
//!
//! Owns the sampling thread. Counts the process and the children it has when the watch begins (nginx
//! works in children). Linux only; blocking reads stay on the thread's own time.

use std::fs;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

/// Between two samples of the memory.
const PERIOD: Duration = Duration::from_millis(20);
/// Ticks per second in `/proc/PID/stat`: a constant of Linux's interface (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time and memory of a process with its children.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time between begin and end, in seconds; 10 ms steps per process.
    pub cpu_seconds: f64,
    /// Resident when the watch began, in bytes.
    pub rss_before: u64,
    /// Most that was resident at a sample, in bytes.
    pub rss_peak: u64,
    /// Resident at the end, in bytes.
    pub rss_after: u64,
    /// Most that was resident and not backed by a file (so without mapped blobs), in bytes.
    pub anonymous_peak: u64,
}

/// A running watch; ends by [`Watch::finish`].
pub struct Watch {
    stop: Sender<()>,
    sampler: JoinHandle<Usage>,
}

impl Watch {
    /// Takes the first sample of `pid` and its present children and begins to take more. Blocks for that
    /// sample: nothing that follows is missed.
    pub fn begin(pid: u32) -> Self {
        let (stop, stopped) = channel();
        let family = family(pid);
        let ticks = total(&family, cpu_ticks);
        let rss = total(&family, |pid| status_bytes(pid, "VmRSS:"));
        let mut usage = Usage { rss_before: rss, rss_peak: rss, ..Usage::default() };
        let sampler = spawn(move || {
            loop {
                usage.rss_after = total(&family, |pid| status_bytes(pid, "VmRSS:"));
                usage.rss_peak = usage.rss_peak.max(usage.rss_after);
                let anonymous = total(&family, |pid| status_bytes(pid, "RssAnon:"));
                usage.anonymous_peak = usage.anonymous_peak.max(anonymous);
                if stopped.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
            let spent = total(&family, cpu_ticks).saturating_sub(ticks);
            usage.cpu_seconds = spent as f64 / TICKS_PER_SECOND;
            usage
        });
        Self { stop, sampler }
    }

    /// Takes the last sample. Blocks for at most one sample.
    pub fn finish(self) -> Usage {
        drop(self.stop);
        self.sampler.join().unwrap_or_default()
    }
}

/// Processor seconds that this process has used so far.
pub fn own_cpu_seconds() -> f64 {
    cpu_seconds(std::process::id())
}

/// Processor seconds that a process has used so far; 0 when it is gone.
pub fn cpu_seconds(pid: u32) -> f64 {
    cpu_ticks(pid) as f64 / TICKS_PER_SECOND
}

fn total(pids: &[u32], figure: impl Fn(u32) -> u64) -> u64 {
    pids.iter().map(|&pid| figure(pid)).sum()
}

/// `pid` and all that descend from it.
fn family(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parents: Vec<(u32, u32)> = pids.filter_map(|pid| Some((pid, stat_field(pid, 1)?))).collect();
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(parents.iter().filter(|entry| entry.1 == parent).map(|entry| entry.0));
        next += 1;
    }
    family
}

/// User and system ticks of one process; 0 when it is gone.
fn cpu_ticks(pid: u32) -> u64 {
    let ticks = |index| stat_field::<u64>(pid, index).unwrap_or(0);
    ticks(11) + ticks(12)
}

/// A field of `/proc/PID/stat`, counted from the one after the name (proc(5): 0 is the state).
fn stat_field<T: std::str::FromStr>(pid: u32, index: usize) -> Option<T> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(index)?.parse().ok()
}

/// A size in `/proc/PID/status`, in bytes; 0 when the process is gone.
fn status_bytes(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib: u64 = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0);
    kib * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_a_process_works_is_counted() {
        let watch = Watch::begin(std::process::id());
        let before = own_cpu_seconds();
        while own_cpu_seconds() < before + 0.05 {
            std::hint::spin_loop();
        }
        let usage = watch.finish();
        assert!(usage.cpu_seconds >= 0.05, "{usage:?}");
        assert!(usage.rss_before > 0 && usage.rss_peak >= usage.rss_before, "{usage:?}");
    }
}
