//! The metadata directory without a running node: read for a recovery, made for a restored cluster.
//!
//! A new directory is that of a group of one that received a snapshot: the state stands at its position, the
//! log begins right behind it, so that indices go on. It gets no marker before it is whole and on disk; the
//! caller moves it to its place.

use std::path::Path;

use cluster_core::level::Levels;
use cluster_core::view::{Pair, StagedView, View, Visit, key_after, some_pairs};
use openraft::{BasicNode, CommittedLeaderId, LogId, Membership, RaftLogReader, StoredMembership, Vote};
use proto::identity::NodeId;

use super::directory::{Directory, DirectoryError, create_format};
use super::encoding::Stored;
use super::engine::{Engine, Reader};
use super::log::{Beginning, LogStore};
use super::release::Release;
use super::state::{APPLIED, MEMBERSHIP, apply_one, position_in};
use super::{StorageError, blocking};

/// Pages of the state that stay in memory.
const CACHE_BYTES: usize = 64 << 20;
/// Pairs that are read at once, bytes.
const PAGE_BYTES: usize = 1 << 20;
/// After every key.
const ALL_END: &[u8] = &[0xff];

/// Where in the log a state stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Raft term of the last entry that it holds.
    pub term: u64,
    /// Index of that entry; 0 before the first.
    pub index: u64,
}

/// Where `reader` stands.
///
/// # Errors
/// The state could not be read.
pub fn position(reader: &Reader) -> Result<Position, StorageError> {
    Ok(of(position_in(reader, reader.path())?.0))
}

fn of(log_id: Option<LogId<u64>>) -> Position {
    log_id.map_or(Position::default(), |log_id| Position { term: log_id.leader_id.term, index: log_id.index })
}

/// All that one node's disk knows: its state, and what its log holds beyond it, whether it was committed or
/// not. What was acknowledged with this node's vote is among it.
#[derive(Debug)]
pub struct Offline {
    state: StagedView<Reader>,
    members: Vec<(u64, String)>,
    position: Position,
    /// Entries that only the log held.
    replayed: u64,
    _directory: Directory,
}

impl Offline {
    /// Reads the directory of a node that does not run; nothing in it is changed.
    ///
    /// # Errors
    /// It cannot be used, or an entry cannot be applied.
    pub async fn open(dir: &Path) -> Result<Self, DirectoryError> {
        let opened = dir.to_owned();
        // A directory that is not there must not be made.
        if !dir.join("FORMAT").try_exists().unwrap_or(false) {
            return Err(DirectoryError::Missing { path: dir.join("FORMAT") });
        }
        let opening = tokio::task::spawn_blocking(move || Directory::open(&opened, CACHE_BYTES)).await;
        let panicked = |_| StorageError::EnginePanicked { path: dir.to_owned() };
        let mut directory = opening.map_err(panicked)??;
        let reader = directory.state.reader()?;
        let path = reader.path().to_owned();
        let mut state = StagedView::new(reader);
        let first = position_in(&state, &path)?.0.map_or(0, |log_id| log_id.index + 1);
        let (release, mut replayed) = (Release::new(Levels::OWN), 0);
        let unreadable = |error: &dyn std::error::Error| StorageError::Engine {
            path: path.clone(),
            source: error.to_string().into(),
        };
        loop {
            let from = first + replayed;
            let entries = directory.log.limited_get_log_entries(from, from.saturating_add(1024)).await;
            let entries = entries.map_err(|error| unreadable(&error))?;
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                apply_one(&mut state, &release, entry).map_err(|error| unreadable(&error))?;
                replayed += 1;
            }
        }
        let (applied, membership) = position_in(&state, &path)?;
        let members = membership.nodes().map(|(node, basic)| (*node, basic.addr.clone())).collect();
        Ok(Self { state, members, position: of(applied), replayed, _directory: directory })
    }

    /// Where its last entry stands.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Entries beyond the state's file that were applied.
    pub fn replayed(&self) -> u64 {
        self.replayed
    }

    /// The members of the group as its last entry has them: id and address.
    pub fn members(&self) -> &[(u64, String)] {
        &self.members
    }

    /// Its pairs in order; an error ends them.
    pub fn into_pairs(self) -> impl Iterator<Item = Result<Pair, StorageError>> + Send + 'static {
        // The files are open as long as they are read.
        let Self { state, _directory: directory, .. } = self;
        let (mut from, mut page) = (Vec::new(), Vec::new().into_iter());
        let mut over = false;
        std::iter::from_fn(move || {
            let _open = &directory;
            if page.len() == 0 && !over {
                match some_pairs(&state, &from, ALL_END, PAGE_BYTES) {
                    Ok(pairs) => {
                        over = pairs.is_empty();
                        from = pairs.last().map_or_else(Vec::new, |(key, _)| key_after(key));
                        page = pairs.into_iter();
                    }
                    Err(error) => {
                        over = true;
                        return Some(Err(error));
                    }
                }
            }
            page.next().map(Ok)
        })
    }
}

impl View for Offline {
    type Error = StorageError;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.state.get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        self.state.scan(from, to, visit)
    }
}

/// A group of one that begins with a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founded {
    /// Its only member.
    pub node: NodeId,
    /// Where that is.
    pub address: String,
    /// Where the state stands.
    pub position: Position,
}

/// Makes the metadata directory `dir` of a group of one whose state is `pairs`, durably; what a cut try left
/// in `dir` goes. Not cancel safe: it goes on, and leaves a part.
///
/// # Errors
/// The directory cannot be made, or a pair is an error, which is the error then.
pub async fn found(
    dir: &Path,
    founded: Founded,
    pairs: impl Iterator<Item = Result<Pair, StorageError>> + Send + 'static,
) -> Result<(), DirectoryError> {
    let (target, failed) = (dir.to_owned(), |path: &Path| {
        let path = path.to_owned();
        |source| DirectoryError::Io { path, source }
    });
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(dir)(error)),
        _ => std::fs::create_dir_all(dir).map_err(failed(dir))?,
    }
    blocking(dir.join("state.db"), move || write(&target, &founded, pairs)).await?;
    create_format(dir, &dir.join("FORMAT")).map_err(failed(dir))
}

fn write(
    dir: &Path,
    founded: &Founded,
    pairs: impl Iterator<Item = Result<Pair, StorageError>>,
) -> Result<(), StorageError> {
    let state_path = dir.join("state.db");
    let Founded { node, address, position } = founded;
    let log_id = LogId::new(CommittedLeaderId::new(position.term, node.get()), position.index);
    let members = std::collections::BTreeMap::from([(node.get(), BasicNode { addr: address.clone() })]);
    let membership = Membership::new(vec![std::collections::BTreeSet::from([node.get()])], members);
    let own = [
        (APPLIED.to_vec(), log_id.encode()),
        (MEMBERSHIP.to_vec(), StoredMembership::new(Some(log_id), membership).encode()),
    ];
    Engine::create(&state_path)?;
    let state = Engine::open(&state_path, CACHE_BYTES)?;
    state.replace(own.into_iter().map(Ok).chain(pairs))?;
    let vote = Vote::new(position.term, node.get());
    let beginning = Beginning { owner: Some(*node), purged: Some(log_id), vote: Some(vote) };
    LogStore::create(&dir.join("log"), beginning)
}
