//! Where everything lies on disk; pure text work, never touches a file.
//!
//! ```text
//! <root>/FORMAT                                  "shoal-blobs 1": refuses foreign and newer directories
//! <root>/uploads/<upload>.session                JSON: whose session, which algorithm; gone before its data is renamed away
//! <root>/uploads/<upload>.data                   bytes received so far; made by the first append
//! <root>/uploads/<upload>.leaves                 piece list so far; only past one leaf
//! <root>/uploads/<algorithm>-<hex>.<generation>.incoming          leaves of a copy from another node, with holes
//! <root>/uploads/<algorithm>-<hex>.<generation>.incoming.pieces   its proven piece list; only past one leaf
//! <root>/uploads/<upload>.ahead                  bytes of another node's upload, unproven, perhaps with holes
//! <root>/blobs/<algorithm>/<xx>/<hex>.<generation>          one copy; xx = first two hex digits, the shard
//! <root>/blobs/<algorithm>/<xx>/<hex>.<generation>.pieces   its piece list, 32 bytes a leaf; only past one leaf
//! <root>/quarantine/<algorithm>-<hex>.<generation>          a copy that failed its check; marks it as damaged
//! ```
//!
//! A generation is the text of the upload id that the copy came from. `.data` and `.leaves` without a `.session`, and
//! every `.ahead`, are leftovers of a crash; an `.incoming` file can go on after one, since each of its leaves can be checked again. A copy that no record names is staged: only the caller knows, so only the caller removes it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use proto::digest::{Algorithm, Digest};
use proto::upload::UploadId;

/// First line of the FORMAT file.
pub(crate) const FORMAT: &str = "shoal-blobs 1\n";

const SESSION: &str = ".session";
const DATA: &str = ".data";
const LEAVES: &str = ".leaves";
const PIECES: &str = ".pieces";
const INCOMING: &str = ".incoming";
const AHEAD: &str = ".ahead";

/// One folder of copies: an algorithm and the first byte of the hash. Listing goes by shards to bound memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    algorithm: Algorithm,
    first: u8,
}

impl Shard {
    /// How many there are.
    pub(crate) const COUNT: usize = 512;

    /// Every shard, whether it has files or not.
    pub fn all() -> impl Iterator<Item = Self> {
        [Algorithm::Sha256, Algorithm::Sha512]
            .into_iter()
            .flat_map(|algorithm| (0..=u8::MAX).map(move |first| Self { algorithm, first }))
    }

    /// The shard of a digest.
    pub fn of(digest: &Digest) -> Self {
        Self { algorithm: digest.algorithm(), first: digest.hash().first().copied().unwrap_or_default() }
    }

    /// A number below [`Shard::COUNT`].
    pub(crate) fn index(self) -> usize {
        let algorithm = match self.algorithm {
            Algorithm::Sha256 => 0,
            Algorithm::Sha512 => 256,
        };
        algorithm + usize::from(self.first)
    }
}

/// The paths below one root.
#[derive(Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

/// The files of one open session.
#[derive(Clone, Debug)]
pub(crate) struct SessionPaths {
    pub(crate) session: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) leaves: PathBuf,
}

/// The files of a copy that is coming from other nodes.
#[derive(Clone, Debug)]
pub(crate) struct IncomingPaths {
    pub(crate) data: PathBuf,
    pub(crate) list: PathBuf,
}

impl IncomingPaths {
    pub(crate) fn both(&self) -> [&PathBuf; 2] {
        [&self.data, &self.list]
    }
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn format(&self) -> PathBuf {
        self.root.join("FORMAT")
    }

    pub(crate) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    pub(crate) fn algorithm(&self, algorithm: Algorithm) -> PathBuf {
        self.blobs().join(algorithm.name())
    }

    pub(crate) fn shard(&self, shard: Shard) -> PathBuf {
        self.algorithm(shard.algorithm).join(format!("{:02x}", shard.first))
    }

    pub(crate) fn session(&self, id: UploadId) -> SessionPaths {
        let file = |suffix: &str| self.uploads().join(format!("{id}{suffix}"));
        SessionPaths { session: file(SESSION), data: file(DATA), leaves: file(LEAVES) }
    }

    pub(crate) fn copy(&self, digest: &Digest, generation: UploadId) -> PathBuf {
        self.shard(Shard::of(digest)).join(format!("{}.{generation}", digest.hex()))
    }

    pub(crate) fn pieces(&self, digest: &Digest, generation: UploadId) -> PathBuf {
        self.shard(Shard::of(digest)).join(format!("{}.{generation}{PIECES}", digest.hex()))
    }

    pub(crate) fn quarantined(&self, digest: &Digest, generation: UploadId) -> PathBuf {
        self.quarantine().join(flat_name(digest, generation))
    }

    pub(crate) fn ahead(&self, upload: UploadId) -> PathBuf {
        self.uploads().join(format!("{upload}{AHEAD}"))
    }

    pub(crate) fn incoming(&self, digest: &Digest, generation: UploadId) -> IncomingPaths {
        let file = |suffix: &str| self.uploads().join(flat_name(digest, generation) + suffix);
        IncomingPaths { data: file(INCOMING), list: file(&format!("{INCOMING}{PIECES}")) }
    }
}

fn flat_name(digest: &Digest, generation: UploadId) -> String {
    format!("{}-{}.{generation}", digest.algorithm().name(), digest.hex())
}

/// The session that a file name in `uploads` describes; `None` for every other file.
pub(crate) fn parse_session(name: &OsStr) -> Option<UploadId> {
    name.to_str()?.strip_suffix(SESSION)?.parse().ok()
}

/// The session that the data or leaves in `uploads` belong to.
pub(crate) fn parse_upload_part(name: &OsStr) -> Option<UploadId> {
    let name = name.to_str()?;
    name.strip_suffix(DATA).or_else(|| name.strip_suffix(LEAVES))?.parse().ok()
}

/// The copy that a file name in `shard` belongs to, as its bytes or as its piece list.
pub(crate) fn parse_copy(shard: Shard, name: &OsStr) -> Option<(Digest, UploadId)> {
    let name = name.to_str()?;
    let (hex, generation) = name.strip_suffix(PIECES).unwrap_or(name).split_once('.')?;
    let (digest, generation) = parse_pair(shard.algorithm.name(), hex, generation)?;
    (Shard::of(&digest) == shard).then_some((digest, generation))
}

/// The copy that a file name in `quarantine` was.
pub(crate) fn parse_quarantined(name: &OsStr) -> Option<(Digest, UploadId)> {
    parse_flat(name.to_str()?)
}

/// The incoming copy that a file name in `uploads` belongs to, as its leaves or as its piece list.
pub(crate) fn parse_incoming(name: &OsStr) -> Option<(Digest, UploadId)> {
    let name = name.to_str()?;
    parse_flat(name.strip_suffix(PIECES).unwrap_or(name).strip_suffix(INCOMING)?)
}

/// The upload of another node that a file name in `uploads` holds bytes of.
pub(crate) fn parse_ahead(name: &OsStr) -> Option<UploadId> {
    name.to_str()?.strip_suffix(AHEAD)?.parse().ok()
}

fn parse_flat(name: &str) -> Option<(Digest, UploadId)> {
    let (algorithm, rest) = name.split_once('-')?;
    let (hex, generation) = rest.split_once('.')?;
    parse_pair(algorithm, hex, generation)
}

fn parse_pair(algorithm: &str, hex: &str, generation: &str) -> Option<(Digest, UploadId)> {
    Some((format!("{algorithm}:{hex}").parse().ok()?, generation.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proto::identity::NodeId;

    fn name(path: &Path) -> &OsStr {
        path.file_name().expect("layout paths have names")
    }

    proptest! {
        #[test]
        fn names_lead_back_to_what_they_were_made_from(content: Vec<u8>, node in 1_u64.., random: u128, wide: bool) {
            let algorithm = if wide { Algorithm::Sha512 } else { Algorithm::Sha256 };
            let digest = Digest::of(algorithm, &content);
            let id = UploadId::new(NodeId::new(node).expect("not zero"), random);
            let layout = Layout::new(Path::new("root"));
            let shard = Shard::of(&digest);
            let copy = layout.copy(&digest, id);
            prop_assert_eq!(parse_copy(shard, name(&copy)), Some((digest, id)));
            prop_assert_eq!(parse_copy(shard, name(&layout.pieces(&digest, id))), Some((digest, id)));
            prop_assert_eq!(parse_quarantined(name(&layout.quarantined(&digest, id))), Some((digest, id)));
            let incoming = layout.incoming(&digest, id);
            prop_assert_eq!(parse_incoming(name(&incoming.data)), Some((digest, id)));
            prop_assert_eq!(parse_incoming(name(&incoming.list)), Some((digest, id)));
            prop_assert_eq!(parse_incoming(name(&layout.quarantined(&digest, id))), None);
            prop_assert_eq!(parse_upload_part(name(&incoming.data)), None);
            prop_assert_eq!(parse_ahead(name(&layout.ahead(id))), Some(id));
            prop_assert_eq!(parse_upload_part(name(&layout.ahead(id))), None);
            prop_assert_eq!(parse_session(name(&layout.session(id).session)), Some(id));
            prop_assert_eq!(parse_session(name(&layout.session(id).data)), None);
            prop_assert_eq!(parse_upload_part(name(&layout.session(id).data)), Some(id));
            prop_assert_eq!(parse_upload_part(name(&layout.session(id).leaves)), Some(id));
            prop_assert!(copy.starts_with(layout.shard(shard)));
            let other = Shard { first: shard.first.wrapping_add(1), ..shard };
            prop_assert_eq!(parse_copy(other, name(&copy)), None);
        }

        #[test]
        fn foreign_names_are_nobody_s(text in "\\PC{0,60}") {
            prop_assert_eq!(parse_session(OsStr::new(&text)), None);
            prop_assert_eq!(parse_quarantined(OsStr::new(&text)), None);
            prop_assert_eq!(parse_incoming(OsStr::new(&text)), None);
        }
    }

    #[test]
    fn shards_have_distinct_indexes_below_their_count() {
        let indexes: std::collections::BTreeSet<_> = Shard::all().map(Shard::index).collect();
        assert_eq!(indexes.len(), Shard::COUNT);
        assert_eq!(indexes.last(), Some(&(Shard::COUNT - 1)));
    }
}
