//! Nodes that talk to each other over real sockets on loopback.

mod calls;
mod failures;
mod strangers;

use std::time::Duration;

use super::*;
use crate::Limits;

/// Far longer than anything takes; a test that needs it has failed.
const LONG: Duration = Duration::from_secs(30);

/// A node with a membership of its own.
struct Node {
    peers: Peers,
    members: watch::Sender<Members>,
}

impl Node {
    fn with(settings: Settings) -> Self {
        let (members, receiver) = watch::channel(Members::default());
        let peers = Peers::start(settings, receiver).expect("started");
        Self { peers, members }
    }

    fn new(seed: u8) -> Self {
        Self::with(settings(seed))
    }

    fn address(&self) -> PeerAddress {
        address_of(&self.peers)
    }

    /// These nodes, and no others, are members for this one.
    fn knows(&self, others: &[&Node]) {
        self.members.send_replace(others.iter().map(|other| other.peers.key()).collect());
    }

    /// Answers with what was asked.
    fn echoes(&self, protocol: Protocol) {
        self.peers.serve(protocol, |_, message| async move { Some(message) });
    }

    async fn asks(&self, other: &Node, protocol: Protocol, message: &[u8]) -> Result<Vec<u8>, CallError> {
        self.peers.call(&other.address(), protocol, message.to_vec(), LONG).await
    }
}

fn settings(seed: u8) -> Settings {
    Settings { seed: [seed; 32], listen: ([127, 0, 0, 1], 0).into(), limits: patient() }
}

/// With these a connection does not die of a busy machine, as it would with the two seconds of a node.
fn patient() -> Limits {
    Limits { handshake: LONG, silence: LONG, ..Limits::default() }
}

/// With the limits of a node: notices soon who is gone.
fn wary(seed: u8) -> Settings {
    Settings { limits: Limits::default(), ..settings(seed) }
}

fn address_of(peers: &Peers) -> PeerAddress {
    let place = peers.local_address().to_string().parse().expect("a place");
    PeerAddress::new(peers.key(), vec![place]).expect("one place")
}

/// Two nodes that know each other and echo on every control protocol.
fn pair() -> (Node, Node) {
    let nodes = (Node::new(1), Node::new(2));
    nodes.0.knows(&[&nodes.1]);
    nodes.1.knows(&[&nodes.0]);
    for node in [&nodes.0, &nodes.1] {
        for protocol in [Protocol::Raft, Protocol::Metadata, Protocol::Copy] {
            node.echoes(protocol);
        }
    }
    nodes
}

/// Tries until it works, and says how often it did not.
async fn until_ok<T, F>(what: &str, mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, CallError>>,
{
    let start = Instant::now();
    let mut last = None;
    while start.elapsed() < LONG {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: still {last:?} after {LONG:?}")
}
