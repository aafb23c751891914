//! Network namespaces joined by bridges, with links of a given rate.
//!
//! Owns the namespaces it makes: they are deleted when it is dropped, and their devices with them. Nothing of
//! the machine's own network is touched. Needs root, `ip` and `tc`.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The namespaces of one section, named by this process.
#[derive(Debug)]
pub struct Network {
    prefix: String,
    namespaces: Vec<String>,
    nodes: u8,
}

/// The end of a link: a device and the namespace that it is in.
#[derive(Clone, Debug)]
pub struct End {
    namespace: String,
    device: String,
}

impl Network {
    /// No namespace yet.
    pub fn new(name: &str) -> Self {
        let prefix = format!("shoal-bench-{}-{name}", std::process::id());
        Self { prefix, namespaces: Vec::new(), nodes: 0 }
    }

    /// A switch: a namespace with a bridge.
    ///
    /// # Errors
    /// When this process may not make it.
    pub fn switch(&mut self, name: &str) -> anyhow::Result<String> {
        let namespace = self.namespace(name)?;
        run(&format!("ip -n {namespace} link add bridge type bridge"))?;
        run(&format!("ip -n {namespace} link set bridge up"))?;
        Ok(namespace)
    }

    /// A namespace for one node, at a switch: its name, its address, its end of the link. `mbit`: the rate of
    /// the link in each direction.
    ///
    /// # Errors
    /// When this process may not make it.
    pub fn node(&mut self, switch: &str, mbit: Option<u32>) -> anyhow::Result<(String, Ipv4Addr, End)> {
        self.nodes += 1;
        let (number, address) = (self.nodes, Ipv4Addr::new(10, 77, 0, self.nodes));
        let namespace = self.namespace(&format!("node{number}"))?;
        let (end, other) = (format!("node{number}"), format!("port{number}"));
        link(&namespace, &end, switch, &other, mbit)?;
        run(&format!("ip -n {switch} link set {other} master bridge"))?;
        run(&format!("ip -n {namespace} addr add {address}/24 dev {end}"))?;
        Ok((namespace.clone(), address, End { namespace, device: end }))
    }

    /// Joins a switch to another and returns the first one's end of the link.
    ///
    /// # Errors
    /// When this process may not do so.
    pub fn join(&self, switch: &str, to: &str, name: &str, mbit: u32) -> anyhow::Result<End> {
        let (end, other) = (format!("up-{name}"), format!("down-{name}"));
        link(switch, &end, to, &other, Some(mbit))?;
        run(&format!("ip -n {switch} link set {end} master bridge"))?;
        run(&format!("ip -n {to} link set {other} master bridge"))?;
        Ok(End { namespace: switch.into(), device: end })
    }

    fn namespace(&mut self, name: &str) -> anyhow::Result<String> {
        let namespace = format!("{}-{name}", self.prefix);
        run(&format!("ip netns add {namespace}"))?;
        self.namespaces.push(namespace.clone());
        run(&format!("ip -n {namespace} link set lo up"))?;
        Ok(namespace)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            // What cannot be deleted is left: nothing else can be done about it here.
            drop(run(&format!("ip netns del {namespace}")));
        }
    }
}

impl End {
    /// Bytes that it received and sent so far, with all headers.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn bytes(&self) -> anyhow::Result<(u64, u64)> {
        let Self { namespace, device } = self;
        let said = run(&format!("ip -n {namespace} -json -stats link show dev {device}"))?;
        let said: serde_json::Value = serde_json::from_str(&said)?;
        let count = |way: &str| said[0]["stats64"][way]["bytes"].as_u64().context("no counters");
        Ok((count("rx")?, count("tx")?))
    }
}

/// What `make` makes inside a namespace; sockets stay there. On a thread of its own, which ends with it. Blocks.
///
/// # Errors
/// When this process may not enter it, or `make` fails.
pub fn inside<T: Send>(
    namespace: &str,
    make: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    let enter = || {
        let file = File::open(Path::new("/run/netns").join(namespace))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        make()
    };
    let made = std::thread::scope(|scope| scope.spawn(enter).join());
    made.unwrap_or_else(|_| Err(anyhow!("the thread in {namespace} panicked")))
}

fn link(from: &str, end: &str, to: &str, other: &str, mbit: Option<u32>) -> anyhow::Result<()> {
    run(&format!("ip link add {end} netns {from} type veth peer name {other} netns {to}"))?;
    for (namespace, device) in [(from, end), (to, other)] {
        if let Some(mbit) = mbit {
            // The queue holds 50 ms, as much as a switch does.
            run(&format!(
                "tc -n {namespace} qdisc add dev {device} root tbf rate {mbit}mbit burst 64kb latency 50ms"
            ))?;
        }
        run(&format!("ip -n {namespace} link set {device} up"))?;
    }
    Ok(())
}

fn run(line: &str) -> anyhow::Result<String> {
    let mut words = line.split(' ');
    let output =
        Command::new(words.next().context("no program")?).args(words).output().context("ip and tc")?;
    ensure!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
