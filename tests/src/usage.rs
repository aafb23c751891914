//! What a server's process takes, as the kernel counts it.

use std::fs;
use std::time::Duration;

use crate::server::Server;

/// What a process took so far.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Resident bytes now.
    pub memory: u64,
    /// Processor time of all threads so far.
    pub cpu: Duration,
}

impl Server {
    /// What the process took so far.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn usage(&self) -> Usage {
        let status = self.kernel_file("status");
        let memory = status.lines().find_map(|line| {
            let kib = line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?;
            Some(kib.parse::<u64>().ok()? * 1024)
        });
        let Some(memory) = memory else { panic!("the process has ended") };
        // After the name in parentheses; user and system time are the 12th and 13th field there, in 1/100 s.
        let stat = self.kernel_file("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Usage { memory, cpu: Duration::from_millis(ticks * 10) }
    }

    /// How many sockets the process has open.
    pub fn sockets(&self) -> usize {
        let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", self.pid())) else { return 0 };
        let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
    }

    fn kernel_file(&self, name: &str) -> String {
        match fs::read_to_string(format!("/proc/{}/{name}", self.pid())) {
            Ok(text) => text,
            Err(error) => panic!("the process has ended: {error}"),
        }
    }
}
