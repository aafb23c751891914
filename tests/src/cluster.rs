//! Several `shoal serve` processes that form one cluster, each with a data directory of its own.
//!
//! Owns starting the first node, asking it for tokens with the real command, and letting the others join.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::{Command, Output};
use std::time::Duration;

use crate::journal::random;
use crate::namespace;
use crate::server::{Server, ServerOptions, binary, restrict};
use crate::wait::wait_for;

/// How long the cluster may take to come to what a test waits for, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The nodes, in the order in which they joined.
#[derive(Debug)]
pub struct Cluster {
    /// The first one made the cluster.
    pub nodes: Vec<Server>,
}

impl Cluster {
    /// A cluster of `count` nodes in zones of their own; all of them vote as far as the cluster lets them.
    ///
    /// # Panics
    /// When a node does not come up or the voters do not settle.
    pub fn start(count: usize) -> Self {
        Self::start_with(count, |_, _| {})
    }

    /// As [`Cluster::start`]; `adjust` gets the place of each node and how it is started.
    ///
    /// # Panics
    /// As [`Cluster::start`] does.
    pub fn start_with(count: usize, adjust: impl Fn(usize, &mut ServerOptions)) -> Self {
        let start = |place, token: Option<&str>| {
            let mut options = options(place, token);
            adjust(place, &mut options);
            Server::start(options)
        };
        let mut cluster = Self { nodes: vec![start(0, None)] };
        while cluster.nodes.len() < count {
            let token = cluster.token(&[]);
            cluster.nodes.push(start(cluster.nodes.len(), Some(&token)));
        }
        cluster.wait_for_voters(if count < 3 { 1 } else { 3 });
        cluster
    }

    /// As [`Cluster::start`], each node at the address of its own that [`namespace::address`] gives it, so
    /// that rules can tell them apart. `adapt` may change how each is started.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub fn start_apart(count: usize, adapt: impl Fn(usize, &mut ServerOptions)) -> Self {
        let mut cluster = Self { nodes: Vec::new() };
        while cluster.nodes.len() < count {
            let place = cluster.nodes.len();
            let token = (place > 0).then(|| cluster.token(&[]));
            let mut options = options_at(namespace::address(place), place, token.as_deref());
            adapt(place, &mut options);
            cluster.nodes.push(Server::start(options));
        }
        cluster
    }

    /// Starts one more node at an address of its own.
    ///
    /// # Panics
    /// When it does not join.
    pub fn join_apart(&mut self, token: &str) {
        let place = self.nodes.len();
        self.nodes.push(Server::start(options_at(namespace::address(place), place, Some(token))));
    }

    /// Waits until so many nodes vote.
    ///
    /// # Panics
    /// When they do not settle.
    pub fn wait_for_voters(&mut self, voters: u64) {
        self.wait_for_status("the voters to settle", |status| {
            let found = status["voters"].as_u64();
            if found == Some(voters) { Ok(()) } else { Err(format!("{found:?} voters: {status:#}")) }
        });
    }

    /// Starts one more node with a fresh token of the first node that runs.
    ///
    /// # Panics
    /// When it does not join.
    pub fn join(&mut self) -> &Server {
        let token = self.token(&[]);
        let node = Server::start(options(self.nodes.len(), Some(&token)));
        self.nodes.push(node);
        &self.nodes[self.nodes.len() - 1]
    }

    /// Starts an edge with further arguments of `shoal serve`; it is none of [`Cluster::nodes`].
    ///
    /// # Panics
    /// When it does not join.
    pub fn join_edge(&mut self, arguments: &[&str]) -> Server {
        let token = self.token(&["--edge"]);
        let mut options = options(self.nodes.len(), Some(&token));
        options.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        Server::start(options)
    }

    /// Starts one more node in another region.
    ///
    /// # Panics
    /// When it does not join.
    pub fn join_in(&mut self, region: &str) -> &Server {
        let token = self.token(&[]);
        let mut options = options(self.nodes.len(), Some(&token));
        options.arguments.extend(["--region".to_owned(), region.to_owned()]);
        self.nodes.push(Server::start(options));
        &self.nodes[self.nodes.len() - 1]
    }

    /// A join token, as `shoal token create` prints it; asked for again while there is no leader.
    ///
    /// # Panics
    /// When no node gives one.
    pub fn token(&mut self, arguments: &[&str]) -> String {
        wait_for("a token", PATIENCE, || {
            let answer = self.operate(&[&["token", "create"], arguments].concat());
            let said = String::from_utf8_lossy(&answer.stderr).into_owned();
            let token = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
            if answer.status.success() { Ok(token) } else { Err(said) }
        })
    }

    /// Runs an operator's command against the first node that runs.
    ///
    /// # Panics
    /// When the command cannot be started or no node runs.
    pub fn operate(&mut self, arguments: &[&str]) -> Output {
        let running = self.nodes.iter_mut().find_map(|node| node.is_running().then_some(&*node));
        match running {
            Some(node) => operate(node, arguments),
            None => panic!("no node runs"),
        }
    }

    /// Waits until the first running node's status satisfies `probe`.
    pub fn wait_for_status<T>(
        &mut self,
        what: &str,
        mut probe: impl FnMut(&serde_json::Value) -> Result<T, String>,
    ) -> T {
        wait_for(what, PATIENCE, || {
            let answer = self.operate(&["status", "--output", "json"]);
            let said = String::from_utf8_lossy(&answer.stderr).into_owned();
            let status = serde_json::from_slice(&answer.stdout).map_err(|_| said)?;
            probe(&status)
        })
    }

    /// Index of the node that leads, as the first running node says.
    pub fn leader(&mut self) -> usize {
        let leader = self.wait_for_status("a leader", |status| {
            status["leader"].as_str().map(str::to_owned).ok_or_else(|| "none yet".to_owned())
        });
        let place = self.nodes.iter().position(|node| id_of(node).as_deref() == Some(&leader));
        match place {
            Some(place) => place,
            None => panic!("{leader} leads, but is none of ours"),
        }
    }
}

/// Runs an operator's command against `node`.
///
/// # Panics
/// When the command cannot be started.
pub fn operate(node: &Server, arguments: &[&str]) -> Output {
    let password = node.file("operator");
    let written = std::fs::write(&password, node.password()).map_err(anyhow::Error::from);
    if let Err(error) = written.and_then(|()| restrict(&password)) {
        panic!("{error:#}");
    }
    let mut command = Command::new(binary());
    command.args(arguments).arg("--url").arg(node.url()).arg("--password-file").arg(password);
    match command.output() {
        Ok(output) => output,
        Err(error) => panic!("shoal {arguments:?}: {error}"),
    }
}

/// From its next start on `node`, of a cluster that is not apart, has other ports, for clients and for nodes.
/// Returns where other nodes find it then.
///
/// # Panics
/// When it was not started with an address for other nodes.
pub fn move_away(node: &mut Server) -> String {
    node.move_to(&format!("{}:{}", Ipv4Addr::LOCALHOST, free_port()));
    let place = format!("{}:{}", Ipv4Addr::LOCALHOST, free_port());
    let arguments = &mut node.options_mut().arguments;
    match arguments.iter().position(|argument| argument == "--peer-listen") {
        Some(flag) => arguments[flag + 1].clone_from(&place),
        None => panic!("it has no --peer-listen"),
    }
    place
}

/// What `node` calls itself, if it answers.
pub fn id_of(node: &Server) -> Option<String> {
    let answer = operate(node, &["status", "--output", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&answer.stdout).ok()?;
    status["node"].as_str().map(str::to_owned)
}

fn options(place: usize, token: Option<&str>) -> ServerOptions {
    options_at(Ipv4Addr::LOCALHOST, place, token)
}

fn options_at(address: Ipv4Addr, place: usize, token: Option<&str>) -> ServerOptions {
    let zone = ["a", "b", "c", "d", "e"][place % 5];
    let mut arguments = vec!["--zone".to_owned(), zone.to_owned()];
    arguments.extend(["--peer-listen".to_owned(), format!("{address}:{}", free_port())]);
    if let Some(token) = token {
        arguments.extend(["--join".to_owned(), token.to_owned()]);
    }
    ServerOptions { listen: format!("{address}:{}", free_port()), arguments, ..ServerOptions::default() }
}

/// A port that nobody has just now, for TCP and UDP, and that no outgoing connection takes while its node is down:
/// below the kernel's range for those. A node that starts again must be found where it was.
pub(crate) fn free_port() -> u16 {
    let free = || {
        let port = 20_000 + (random() % 12_000) as u16;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(port)
    };
    match (0..100).find_map(|_| free()) {
        Some(port) => port,
        None => panic!("no port is free"),
    }
}
