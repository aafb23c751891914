//! Full nodes give each other the keys of secrets, so that each can read what any of them sealed.
//!
//! A key seals nothing before most voters have it on their disks: what the state holds must be readable as long as
//! the state itself is. Edges get none; they stand where nobody watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cluster::{Metadata, ReadError};
use cluster_core::record::{NodeKind, Sealed};
use cluster_core::state;
use futures::future::join_all;
use peer::{PeerKey, Peers, Protocol};
use prost::Message as _;
use proto::identity::NodeId;
use proto::wire::peer as wire;

use super::members::Directory;
use crate::auth::keyring::{Key, Keyring, KeyringError, MAX_KEYS};
use crate::auth::node_key::node_of;

/// Of messages of this release.
const VERSION: u32 = 1;
/// For a node to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a secret is not to be had now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretsError {
    /// Keys are given to full nodes only.
    #[error("this node is an edge: it has no keys of secrets")]
    Edge,
    /// Too few voters could be told of the newest key.
    #[error("too few nodes have the key of secrets: is a majority of the voters up?")]
    NotShared,
    /// This node's keys.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The state cannot be read.
    #[error("the metadata cannot be read")]
    Unavailable(#[from] ReadError),
    /// The system gives none.
    #[error("the system gives no randomness")]
    NoRandomness,
    /// The process ends.
    #[error("the node stops")]
    Stopping(#[from] tokio::task::JoinError),
}

/// See the module. Clones share it.
#[derive(Clone)]
pub(crate) struct Secrets {
    peers: Peers,
    metadata: Metadata,
    directory: Directory,
    keyring: Arc<Keyring>,
    /// The newest key that most voters were seen to have; 0: none.
    shared: Arc<AtomicU32>,
    /// When others were last asked for keys that a client named, in seconds since 1970.
    asked_s: Arc<AtomicU64>,
}

impl Secrets {
    pub(crate) fn new(peers: Peers, metadata: Metadata, directory: Directory, keyring: Keyring) -> Self {
        Self {
            peers,
            metadata,
            directory,
            keyring: Arc::new(keyring),
            shared: Arc::default(),
            asked_s: Arc::default(),
        }
    }

    /// Answers other nodes from now on.
    pub(crate) fn serve(&self) {
        let this = self.clone();
        self.peers.serve(Protocol::Secrets, move |key, message| {
            let this = this.clone();
            async move {
                match this.answer(key, &message).await {
                    Ok(reply) => Some(reply),
                    Err(reason) => {
                        tracing::warn!(peer = %key, reason, "keys of secrets not exchanged");
                        None
                    }
                }
            }
        });
    }

    async fn answer(&self, from: PeerKey, message: &[u8]) -> Result<Vec<u8>, &'static str> {
        let node = node_of(from.as_bytes()).ok_or("the key cannot be a node's")?;
        for node in [node, self.directory.this_node()] {
            if !self.is_full(node).map_err(|_| "the metadata cannot be read")? {
                return Err("one of the two is no full node");
            }
        }
        let keys = decode(message).ok_or("the message cannot be read")?;
        self.take(keys).await.map_err(|error| {
            tracing::error!(%error, "keys of secrets cannot be kept");
            "they cannot be kept"
        })?;
        Ok(self.message())
    }

    fn is_full(&self, node: NodeId) -> Result<bool, ReadError> {
        let record = state::node::node(&self.metadata.local()?, node)?;
        Ok(record.is_some_and(|record| record.kind == NodeKind::Full))
    }

    fn message(&self) -> Vec<u8> {
        let key = |key: Key| wire::SecretKey { number: key.number, key: key.bytes.to_vec() };
        let keys = self.keyring.keys().into_iter().map(key).collect();
        wire::SecretKeys { version: VERSION, keys }.encode_to_vec()
    }

    async fn take(&self, keys: Vec<Key>) -> Result<(), SecretsError> {
        let keyring = self.keyring.clone();
        Ok(tokio::task::spawn_blocking(move || keyring.add(&keys)).await??)
    }

    /// Gives all full nodes the keys that are here and takes theirs; gives those that answered.
    async fn exchange(&self) -> Result<Vec<NodeId>, SecretsError> {
        let this_node = self.directory.this_node();
        if !self.is_full(this_node)? {
            return Err(SecretsError::Edge);
        }
        let mut others = Vec::new();
        for node in self.directory.nodes() {
            if node != this_node && self.is_full(node)? {
                others.extend(self.directory.address(node).map(|address| (node, address)));
            }
        }
        let message = self.message();
        let asked = others.into_iter().map(|(node, address)| {
            let message = message.clone();
            async move {
                let reply = self.peers.call(&address, Protocol::Secrets, message, PATIENCE).await.ok()?;
                Some((node, decode(&reply)?))
            }
        });
        let mut answered = vec![this_node];
        for (node, keys) in join_all(asked).await.into_iter().flatten() {
            self.take(keys).await?;
            answered.push(node);
        }
        Ok(answered)
    }

    /// Makes sure that there is a key and that most voters have the newest one. Cheap once that was seen.
    async fn share(&self) -> Result<(), SecretsError> {
        let newest = |keyring: &Keyring| keyring.keys().last().map_or(0, |key| key.number);
        let known = self.shared.load(Relaxed);
        if known != 0 && known == newest(&self.keyring) {
            return Ok(());
        }
        // Another node may have made one: two would do as well, one is simpler.
        self.exchange().await?;
        if newest(&self.keyring) == 0 {
            let keyring = self.keyring.clone();
            tokio::task::spawn_blocking(move || keyring.make()).await??;
            tracing::info!("made the first key of secrets");
        }
        let number = newest(&self.keyring);
        let have_it = self.exchange().await?;
        let voters = self.metadata.members().borrow().voters.clone();
        let count = voters.iter().filter(|voter| have_it.contains(voter)).count();
        if 2 * count <= voters.len() {
            return Err(SecretsError::NotShared);
        }
        self.shared.store(number, Relaxed);
        Ok(())
    }

    /// Makes another key, which most voters have when it returns; what is sealed from then on is sealed with it. Dropping
    /// it leaves a key here that is given to others before it seals anything.
    ///
    /// # Errors
    /// When too few nodes can be given the key.
    pub(crate) async fn rotate(&self) -> Result<u32, SecretsError> {
        self.exchange().await?;
        let keyring = self.keyring.clone();
        let number = tokio::task::spawn_blocking(move || keyring.make()).await??;
        self.share().await?;
        Ok(number)
    }

    /// The number of the newest key of all nodes that answer; 0: there is none. Dropping it loses nothing.
    ///
    /// # Errors
    /// On an edge, and when the keys of others cannot be kept.
    pub(crate) async fn newest(&self) -> Result<u32, SecretsError> {
        self.exchange().await?;
        Ok(self.numbers().last().copied().unwrap_or(0))
    }

    /// The numbers of the keys that are here, the newest last.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.keyring.keys().iter().map(|key| key.number).collect()
    }

    /// Encrypts `secret` so that every full node can open it for `owner`. Dropping it loses nothing.
    ///
    /// # Errors
    /// When too few nodes can be given the key.
    pub(crate) async fn seal(&self, owner: &str, secret: &[u8]) -> Result<Sealed, SecretsError> {
        self.share().await?;
        Ok(self.keyring.seal(owner, secret)?)
    }

    /// Whether the key of that number is here. Others are asked for it, since this node may have been away when it was made;
    /// whoever makes up numbers makes it ask no more often than once a second.
    pub(crate) async fn has(&self, number: u32) -> bool {
        let knows = || self.keyring.keys().iter().any(|key| key.number == number);
        if knows() {
            return true;
        }
        let now_s = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        // Once a second, whoever asks how often.
        let is_due = self.asked_s.swap(now_s, Relaxed) != now_s;
        is_due && self.exchange().await.is_ok() && knows()
    }

    /// What any full node sealed for `owner`. Asks others for a key that is not here. Dropping it loses nothing.
    ///
    /// # Errors
    /// When the key is nowhere to be had, or what was sealed is damaged.
    pub(crate) async fn unseal(&self, owner: &str, sealed: &Sealed) -> Result<Vec<u8>, SecretsError> {
        match self.keyring.unseal(owner, sealed) {
            Err(KeyringError::Unknown(_)) => {
                self.exchange().await?;
                Ok(self.keyring.unseal(owner, sealed)?)
            }
            done => Ok(done?),
        }
    }
}

fn decode(message: &[u8]) -> Option<Vec<Key>> {
    let message = wire::SecretKeys::decode(message).ok()?;
    if message.version != VERSION || message.keys.len() > MAX_KEYS {
        return None;
    }
    let key = |key: wire::SecretKey| {
        let bytes = key.key.try_into().ok()?;
        (key.number != 0).then_some(Key { number: key.number, bytes })
    };
    message.keys.into_iter().map(key).collect()
}
