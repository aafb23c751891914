//! What the tests of server and driver share: blobs in memory, holders good and bad, streams between them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use proto::digest::{Algorithm, Digest};
use proto::identity::NodeId;
use proto::upload::UploadId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinSet;

use super::*;

pub(crate) fn id(node: u64) -> NodeId {
    NodeId::new(node).expect("not zero")
}

/// A blob and its bytes. Its list is not a real one: the sink knows what to expect.
#[derive(Clone)]
pub(crate) struct TestBlob {
    pub(crate) blob: Blob,
    pub(crate) content: Bytes,
    pub(crate) list: Bytes,
}

impl TestBlob {
    pub(crate) fn new(size: usize) -> Self {
        let content: Vec<u8> = (0..size).map(|at| ((at / 3) ^ (at / LEAF as usize)) as u8).collect();
        let digest = Digest::of(Algorithm::Sha256, &size.to_le_bytes());
        let generation = UploadId::new(id(1), 5);
        let blob = Blob { digest, generation, size: size as u64, pieces_root: [1; 32] };
        let list = vec![7; Cut::of(blob.size).list_bytes() as usize];
        Self { blob, content: content.into(), list: list.into() }
    }

    pub(crate) fn cut(&self) -> Cut {
        Cut::of(self.blob.size)
    }

    pub(crate) fn leaf(&self, index: u64) -> Bytes {
        let start = (index * LEAF).min(self.blob.size) as usize;
        self.content.slice(start..start + self.cut().bytes(&(index..index + 1)) as usize)
    }
}

/// How a holder serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Honest,
    /// From this leaf on it sends wrong bytes.
    Liar(u64),
    /// Every tenth leaf that it sends is wrong.
    TenthWrong,
    /// Sends 1 KB a second of its first leaf, as slowly as its stream is read.
    Trickle,
    /// Its list is wrong.
    WrongList,
    /// After so many leaves it stands still.
    Staller(u64),
    /// It has only leaves below this one.
    Partial(u64),
    /// Its copy breaks at this leaf, after the header.
    Damaged(u64),
    /// Its first copy has nothing and was given up: another one took its place.
    GivenUp,
}

#[derive(Clone)]
pub(crate) struct TestSource {
    pub(crate) test: TestBlob,
    pub(crate) manner: Manner,
    pub(crate) served: Arc<AtomicU64>,
    opened: Arc<AtomicU64>,
}

impl TestSource {
    pub(crate) fn new(test: &TestBlob, manner: Manner) -> Self {
        Self { test: test.clone(), manner, served: Arc::default(), opened: Arc::default() }
    }
}

impl Source for TestSource {
    type Copy = Self;

    async fn open(&self, blob: &Blob) -> Option<Self> {
        let is_first = self.opened.fetch_add(1, Ordering::Relaxed) == 0;
        let manner = if self.manner == Manner::GivenUp && !is_first { Manner::Honest } else { self.manner };
        (*blob == self.test.blob).then(|| Self { manner, ..self.clone() })
    }
}

impl Copy for TestSource {
    fn list(&self) -> Option<Bytes> {
        let list = self.test.list.clone();
        Some(if self.manner == Manner::WrongList { list.iter().map(|byte| byte ^ 1).collect() } else { list })
    }

    fn leaves(&self) -> Option<Leaves> {
        let end = match self.manner {
            Manner::Partial(end) => end,
            Manner::GivenUp => 0,
            _ => return None,
        };
        let mut leaves = Leaves::none(self.test.cut().leaves());
        (0..end).for_each(|leaf| _ = leaves.insert(leaf));
        Some(leaves)
    }

    fn is_over(&self) -> bool {
        self.manner == Manner::GivenUp
    }

    async fn leaf(&self, index: u64) -> Option<Bytes> {
        let served = self.served.fetch_add(1, Ordering::Relaxed);
        let right = self.test.leaf(index);
        match self.manner {
            Manner::Liar(from) if index >= from => Some(right.iter().map(|byte| byte ^ 1).collect()),
            Manner::TenthWrong if served % 10 == 5 => Some(right.iter().map(|byte| byte ^ 1).collect()),
            Manner::Staller(after) if served >= after => std::future::pending().await,
            Manner::Damaged(at) if index == at => None,
            _ => Some(right),
        }
    }
}

/// Takes only the right bytes, and counts.
#[derive(Clone)]
pub(crate) struct TestSink(pub(crate) Arc<SinkState>);

pub(crate) struct SinkState {
    pub(crate) test: TestBlob,
    pub(crate) leaves: Mutex<BTreeMap<u64, Bytes>>,
    pub(crate) has_list: Mutex<bool>,
    pub(crate) refused: AtomicU64,
    pub(crate) doubled: AtomicU64,
    pub(crate) finished: AtomicU64,
    pub(crate) is_full: bool,
}

impl TestSink {
    pub(crate) fn new(test: &TestBlob, is_full: bool) -> Self {
        Self(Arc::new(SinkState {
            test: test.clone(),
            leaves: Mutex::default(),
            has_list: Mutex::new(!test.cut().has_list()),
            refused: AtomicU64::new(0),
            doubled: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            is_full,
        }))
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        self.0.leaves.lock().expect("no panic").values().flat_map(|leaf| leaf.to_vec()).collect()
    }
}

impl Sink for TestSink {
    fn has_list(&self) -> bool {
        *self.0.has_list.lock().expect("no panic")
    }

    fn leaves(&self) -> Leaves {
        let mut leaves = Leaves::none(self.0.test.cut().leaves());
        self.0.leaves.lock().expect("no panic").keys().for_each(|leaf| _ = leaves.insert(*leaf));
        leaves
    }

    async fn put_list(&self, list: Bytes) -> Result<Taken, SinkError> {
        if list != self.0.test.list {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
            return Ok(Taken::Wrong);
        }
        *self.0.has_list.lock().expect("no panic") = true;
        Ok(Taken::Right)
    }

    async fn put_leaf(&self, index: u64, leaf: Bytes) -> Result<Taken, SinkError> {
        assert!(self.has_list(), "a leaf before the list");
        if self.0.is_full {
            return Err(SinkError(Arc::new(io::Error::from(io::ErrorKind::StorageFull))));
        }
        if leaf != self.0.test.leaf(index) {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
            return Ok(Taken::Wrong);
        }
        let before = self.0.leaves.lock().expect("no panic").insert(index, leaf);
        self.0.doubled.fetch_add(u64::from(before.is_some()), Ordering::Relaxed);
        Ok(Taken::Right)
    }

    async fn leaf(&self, index: u64) -> Result<Bytes, SinkError> {
        let leaf = self.0.leaves.lock().expect("no panic").get(&index).cloned();
        leaf.ok_or_else(|| SinkError(Arc::new(io::Error::from(io::ErrorKind::NotFound))))
    }

    async fn finish(&self) -> Result<(), SinkError> {
        assert_eq!(self.leaves().count(), self.0.test.cut().leaves());
        self.0.finished.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Holders in memory.
#[derive(Clone, Default)]
pub(crate) struct TestNet(pub(crate) Arc<NetState>);

type Servers = BTreeMap<NodeId, (Class, Arc<Server<TestSource>>)>;

#[derive(Default)]
pub(crate) struct NetState {
    servers: Mutex<Servers>,
    tasks: Mutex<JoinSet<()>>,
    pub(crate) opened: AtomicU64,
    pub(crate) left: Mutex<BTreeMap<NodeId, Reason>>,
    pub(crate) named: Mutex<BTreeSet<NodeId>>,
}

impl TestNet {
    pub(crate) fn add(&self, node: u64, class: Class, source: TestSource) {
        let server = Server::new(source, Limits::default());
        self.0.servers.lock().expect("no panic").insert(id(node), (class, server));
    }

    pub(crate) fn remove(&self, node: u64) {
        self.0.servers.lock().expect("no panic").remove(&id(node));
    }

    pub(crate) fn left(&self, node: u64) -> Option<Reason> {
        self.0.left.lock().expect("no panic").get(&id(node)).copied()
    }
}

/// A stream whose answers come at 1000 bytes a second.
fn trickle(far: DuplexStream, tasks: &Mutex<JoinSet<()>>) -> DuplexStream {
    let (inner, served) = tokio::io::duplex(1024);
    tasks.lock().expect("no panic").spawn(async move {
        let (mut requests, mut answers) = tokio::io::split(far);
        let (mut from, mut to) = tokio::io::split(inner);
        let there = tokio::io::copy(&mut requests, &mut to);
        let back = async {
            let mut some = [0; 100];
            while let Ok(read @ 1..) = from.read(&mut some).await {
                if answers.write_all(&some[..read]).await.is_err() {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        _ = tokio::join!(there, back);
    });
    served
}

impl Connect for TestNet {
    type Stream = DuplexStream;

    async fn open(&self, holder: NodeId) -> io::Result<DuplexStream> {
        let server = self.0.servers.lock().expect("no panic").get(&holder).cloned();
        let (class, server) = server.ok_or(io::Error::from(io::ErrorKind::ConnectionRefused))?;
        self.0.opened.fetch_add(1, Ordering::Relaxed);
        let (near, far) = tokio::io::duplex(64 * 1024);
        let far = if server.source().manner == Manner::Trickle { trickle(far, &self.0.tasks) } else { far };
        self.0.tasks.lock().expect("no panic").spawn(async move {
            _ = server.serve(far, id(99), class).await;
        });
        Ok(near)
    }

    async fn find(&self, _: &Blob, named: Vec<NodeId>) -> Vec<Found> {
        self.0.named.lock().expect("no panic").extend(named);
        let servers = self.0.servers.lock().expect("no panic");
        let found = |(node, (class, _)): (&NodeId, &(Class, _))| Found {
            node: *node,
            class: *class,
            presumed: Presumed::Unknown,
        };
        servers.iter().map(found).collect()
    }

    fn left(&self, _: &Blob, holder: NodeId, reason: Reason) {
        self.0.left.lock().expect("no panic").insert(holder, reason);
    }
}
