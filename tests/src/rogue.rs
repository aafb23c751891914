//! A peer that is up to no good: it speaks the nodes' own protocols, with a key of its own or a stolen one, and says
//! what a node never would.

use std::future::Future;
use std::time::Duration;

use peer::{ByteStream, CallError, Members, PeerAddress, PeerKey, Peers, Protocol, Settings};
use prost::Message as _;
use proto::digest::{Algorithm, Digest};
use proto::identity::NodeId;
use proto::join::JoinToken;
use proto::wire::peer::{JoinReply, JoinRequest, join_reply::Outcome};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::Server;
use crate::cluster::operate;
use crate::journal::random;

/// How long one call may take: far longer than any answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The token that `shoal token create` prints, read.
///
/// # Panics
/// When there is none.
pub fn token(node: &Server, arguments: &[&str]) -> JoinToken {
    let made = operate(node, &[&["token", "create"], arguments].concat());
    let text = String::from_utf8_lossy(&made.stdout).into_owned();
    match text.trim().parse() {
        Ok(token) => token,
        Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&made.stderr)),
    }
}

/// Where `node` answers its peers, as a token of its own says.
pub fn address(node: &Server) -> PeerAddress {
    token(node, &[]).members[0].clone()
}

/// The secret of a node that can be read from its data directory: 32 bytes behind the head of PKCS#8.
///
/// # Panics
/// When it has no key.
pub fn stolen_seed(node: &Server) -> [u8; 32] {
    let key = std::fs::read(node.data_dir().join("node.key")).unwrap_or_default();
    match key.get(16..48).and_then(|seed| seed.try_into().ok()) {
        Some(seed) => seed,
        None => panic!("no key of 32 bytes"),
    }
}

/// See the module.
pub struct Rogue {
    runtime: Runtime,
    peers: Peers,
    members: watch::Sender<Members>,
}

impl Default for Rogue {
    fn default() -> Self {
        Self::new()
    }
}

impl Rogue {
    /// With a key that nobody knows.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn new() -> Self {
        let mut seed = [0; 32];
        seed.chunks_mut(8).for_each(|part| part.copy_from_slice(&random().to_be_bytes()));
        Self::with_key(seed)
    }

    /// With this key.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn with_key(seed: [u8; 32]) -> Self {
        let started = || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            let (members, keys) = watch::channel(Members::default());
            let settings =
                Settings { seed, listen: ([127, 0, 0, 1], 0).into(), limits: peer::Limits::default() };
            let peers = runtime.block_on(async { Peers::start(settings, keys) })?;
            anyhow::Ok(Self { runtime, peers, members })
        };
        match started() {
            Ok(rogue) => rogue,
            Err(error) => panic!("{error:#}"),
        }
    }

    /// Whom it talks to, beside to join.
    pub fn knows(&self, others: impl IntoIterator<Item = PeerKey>) {
        self.members.send_replace(others.into_iter().collect());
    }

    /// What it is made of.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The node that has its key.
    ///
    /// # Panics
    /// Never: the hash of a key is not zero.
    pub fn node(&self) -> NodeId {
        let hash = Digest::of(Algorithm::Sha256, self.peers.key().as_bytes());
        let first = hash.hash().first_chunk().copied().map(u64::from_be_bytes);
        match first.and_then(NodeId::new) {
            Some(node) => node,
            None => panic!("no node has this key"),
        }
    }

    /// Runs `work` where its tasks run.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// One message there and one back.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn call(&self, to: &PeerAddress, protocol: Protocol, message: Vec<u8>) -> Result<Vec<u8>, CallError> {
        self.run(self.peers.call(to, protocol, message, PATIENCE))
    }

    /// A stream of bytes.
    ///
    /// # Errors
    /// Why there is none.
    pub fn open(&self, to: &PeerAddress, protocol: Protocol) -> Result<ByteStream, CallError> {
        self.run(self.peers.open(to, protocol, PATIENCE))
    }

    /// A right request to join with `token`, to be made wrong.
    pub fn join_request(&self, token: &JoinToken, zone: &str) -> JoinRequest {
        JoinRequest {
            version: 1,
            cluster_id: token.cluster_id.to_vec(),
            token_id: token.token_id.to_vec(),
            secret: token.secret.to_vec(),
            region: "local".to_owned(),
            zone: zone.to_owned(),
            capacity_bytes: 1 << 40,
            hosts: vec![self.peers.local_address().to_string()],
            release: "0.1.0".to_owned(),
            oldest_level: cluster_core::level::FIRST,
            newest_level: cluster_core::level::NEWEST,
            incarnation: 1,
            clock_ms: 0,
        }
    }

    /// Asks the first member of `token` to be let in; what it says to that.
    ///
    /// # Panics
    /// When there is no answer that can be read.
    pub fn ask_to_join(&self, token: &JoinToken, request: &JoinRequest) -> Outcome {
        let answer = self.call(&token.members[0], Protocol::Join, request.encode_to_vec());
        let outcome = answer.map(|answer| JoinReply::decode(answer.as_slice()).map(|reply| reply.outcome));
        match outcome {
            Ok(Ok(Some(outcome))) => outcome,
            other => panic!("no answer to a request to join: {other:?}"),
        }
    }

    /// Becomes a member of the cluster that the token is of, and knows its members.
    ///
    /// # Panics
    /// When it is not let in.
    pub fn join(&self, token: &JoinToken, zone: &str) {
        match self.ask_to_join(token, &self.join_request(token, zone)) {
            Outcome::Taken(_) => self.knows(token.members.iter().map(PeerAddress::key)),
            Outcome::Refused(refused) => panic!("not let in: {}", refused.reason),
        }
    }
}

impl std::fmt::Debug for Rogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Rogue").field(&self.peers).finish()
    }
}
