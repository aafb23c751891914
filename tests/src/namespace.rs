//! A private network for one test: loopback only, an address for each node, and rules that cut, lose or slow
//! what goes between them.
//!
//! Owns the network namespace of the thread that enters it and of all threads and processes it starts
//! afterwards. Nothing is to be cleaned up: the namespace has no name, and goes with the last of those, however
//! they end. Rules match addresses, which nodes bind for what they send, too. Needs root.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process::finish;
use crate::sandbox::locate;

/// How long one command that changes rules may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Says that the interface is up, and ends with its input.
const HOLDER: &str = "ip link set lo up && echo up && read x";

/// The address of the node that joined as number `place`, from 0.
pub fn address(place: usize) -> Ipv4Addr {
    let last = u8::try_from(11 + place).unwrap_or(u8::MAX);
    Ipv4Addr::new(127, 0, 0, last)
}

/// A network of its own for the thread that entered it.
#[derive(Debug)]
pub struct Namespace {
    /// Links that are cut, so that each is mended once.
    cuts: Mutex<Vec<(usize, usize)>>,
}

impl Namespace {
    /// Moves the calling thread into a new network. Threads and processes that it starts from now on are in it
    /// as well; those it started before are not.
    ///
    /// # Panics
    /// When the process is not root's, or `unshare` and `ip` are not there.
    pub fn enter() -> Self {
        if let Err(error) = enter() {
            panic!("no private network (this needs root): {error:#}");
        }
        Self { cuts: Mutex::default() }
    }

    /// Drops whatever node `from` sends to node `to`; the other direction stays.
    ///
    /// # Panics
    /// When the rule cannot be made. The same holds for all that follow.
    pub fn cut_one_way(&self, from: usize, to: usize) {
        if self.cuts().contains(&(from, to)) {
            return;
        }
        rule(&["-A", "INPUT", "-s", &text(from), "-d", &text(to), "-j", "DROP"]);
        self.cuts().push((from, to));
    }

    /// Drops whatever two nodes send each other.
    pub fn cut(&self, one: usize, other: usize) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Cuts each node of `some` from all of `others`.
    pub fn part(&self, some: &[usize], others: &[usize]) {
        for one in some {
            others.iter().filter(|other| *other != one).for_each(|other| self.cut(*one, *other));
        }
    }

    /// Undoes [`Namespace::cut_one_way`].
    pub fn mend(&self, from: usize, to: usize) {
        if self.cuts().contains(&(from, to)) {
            rule(&["-D", "INPUT", "-s", &text(from), "-d", &text(to), "-j", "DROP"]);
            self.cuts().retain(|cut| *cut != (from, to));
        }
    }

    /// Drops packets between nodes by chance; clients, at 127.0.0.1, are spared.
    pub fn lose(&self, percent: u32) {
        self.lose_between("127.0.0.8/29", percent);
    }

    /// Drops packets that come from or go to one node by chance, but those of clients.
    pub fn lose_at(&self, node: usize, percent: u32) {
        self.lose_between(&text(node), percent);
    }

    fn lose_between(&self, node: &str, percent: u32) {
        let probability = format!("{}", f64::from(percent) / 100.0);
        let chance = ["-m", "statistic", "--mode", "random", "--probability", &probability, "-j", "DROP"];
        let nodes = "127.0.0.8/29";
        rule(&[&["-A", "INPUT", "-s", node, "-d", nodes], &chance[..]].concat());
        if node != nodes {
            rule(&[&["-A", "INPUT", "-s", nodes, "-d", node], &chance[..]].concat());
        }
    }

    /// Lets only so many kbit/s through from other nodes to `node` and from it to them, until
    /// [`Namespace::even`]; one node at a time.
    pub fn slow(&self, node: usize, kbits: u32) {
        let rate = format!("{kbits}kbit");
        run("tc", &["qdisc", "add", "dev", "lo", "root", "handle", "1:", "htb"]);
        let class = ["class", "add", "dev", "lo", "parent", "1:", "classid"];
        for (id, end) in [("1:10", "src"), ("1:20", "dst")] {
            run("tc", &[&class[..], &[id, "htb", "rate", &rate]].concat());
            let filter = ["filter", "add", "dev", "lo", "parent", "1:", "protocol", "ip", "u32", "match"];
            let node = format!("{}/32", address(node));
            let others = ["match", "ip", if end == "src" { "dst" } else { "src" }, "127.0.0.8/29"];
            run("tc", &[&filter[..], &["ip", end, &node], &others, &["flowid", id]].concat());
        }
    }

    /// Undoes [`Namespace::slow`].
    pub fn even(&self) {
        run("tc", &["qdisc", "del", "dev", "lo", "root"]);
    }

    /// Mends all links: nothing is cut or lost. What is slow stays slow.
    pub fn heal(&self) {
        rule(&["-F", "INPUT"]);
        self.cuts().clear();
    }

    fn cuts(&self) -> MutexGuard<'_, Vec<(usize, usize)>> {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Packets that the present rules dropped.
    pub fn dropped(&self) -> u64 {
        let counters = run("iptables", &["-w", "-vxnL", "INPUT"]);
        let drops = counters.lines().filter(|line| line.contains("DROP"));
        drops.filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok()).sum()
    }
}

fn text(node: usize) -> String {
    address(node).to_string()
}

fn rule(arguments: &[&str]) {
    run("iptables", &[&["-w"], arguments].concat());
}

fn run(program: &str, arguments: &[&str]) -> String {
    match finish(Command::new(locate(program)).args(arguments), b"", PATIENCE) {
        Ok(finished) => String::from_utf8_lossy(&finished.assert_success().stdout).into_owned(),
        Err(error) => panic!("{program} {arguments:?}: {error:#}"),
    }
}

fn enter() -> anyhow::Result<()> {
    let mut holder = Command::new(locate("unshare"));
    holder.args(["--net", "sh", "-c", HOLDER]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = holder.spawn()?;
    let mut said = String::new();
    if let Some(output) = holder.stdout.take() {
        BufReader::new(output).read_line(&mut said)?;
    }
    anyhow::ensure!(said.trim() == "up", "unshare or ip failed");
    let network = File::open(format!("/proc/{}/ns/net", holder.id()))?;
    let moved = move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network));
    // Its input closes, so it ends; the namespace stays while this thread is in it.
    drop(holder.stdin.take());
    holder.wait()?;
    Ok(moved?)
}
