//! `shoal backup restore`: a new cluster of one node from a backup, in a data directory of its own.
//!
//! The blobs come first, the metadata last and in one step: a restore that was cut can be run again, and
//! until it is over `shoal serve` refuses the directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use blobs::{BlobCopy, BlobStore, UploadOwner};
use bytes::Bytes;
use cli::{BackupReader, Counts, Format, bytes, pairs, render};
use cluster::{Founded, Position, StorageError};
use cluster_core::state::takeover::take_over;
use cluster_core::view::Pair;
use peer::{PeerAddress, PeerKey};
use proto::backup::{Frame, Head, NeededBlob, blob_path};
use proto::digest::Digest;
use serde::Serialize;

use super::print;
use crate::auth::node_key::NodeKey;
use crate::data_dir::DataDir;

/// Name of the metadata directory until it is whole.
pub(super) const UNFINISHED: &str = "metadata.new";
/// Bytes of a blob that are read at once.
const PART: usize = 1 << 20;
/// Storage may take this long to come to rest.
const REST: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Empty directory for all state of the new node
    #[arg(long, env = "SHOAL_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
    /// Directory that `shoal backup save --blobs` filled; without it the bytes have to be pushed again
    #[arg(long, value_name = "DIR")]
    blobs: Option<PathBuf>,
    /// How the answer is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Report {
    /// Of the new cluster.
    cluster_id: String,
    /// Of the cluster that the backup is of.
    restored_from: String,
    index: u64,
    repositories: u64,
    tags: u64,
    manifests: u64,
    blobs: u64,
    blob_bytes: u64,
    /// Blobs without bytes here: pulls of them answer 503 until they are pushed again.
    missing: Vec<String>,
}

impl Restore {
    /// Does it. Blocks.
    pub(crate) fn run(self) -> Result<()> {
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(self.restore())
    }

    async fn restore(self) -> Result<()> {
        let (head, counts) = BackupReader::verify(&self.file)?;
        let data = DataDir::open(&self.data_dir)?;
        if !data.first_start() {
            bail!("{} is a node already: give an empty --data-dir", self.data_dir.display());
        }
        let key = NodeKey::open_or_make(data.path())?;
        let store = BlobStore::open(&data.blobs(), blobs::Settings::new(key.node())).await?;
        let missing = self.bring_blobs(&store).await?;
        if !store.shutdown(REST).await {
            bail!("the blobs did not come to rest in time: run it again");
        }
        let cluster_id = new_cluster_id()?;
        let position = Position { term: head.term, index: head.index };
        // Told again at the first start, like every address.
        let address = PeerAddress::new(PeerKey::new(key.public()), vec!["127.0.0.1:5001".parse()?])?;
        let founded = Founded { node: key.node(), address: address.to_string(), position };
        let unfinished = data.path().join(UNFINISHED);
        let pairs = pairs_of(&self.file)?.map(move |pair| taken_over(pair?, cluster_id));
        cluster::found(&unfinished, founded, pairs.filter_map(Result::transpose)).await?;
        fs::rename(&unfinished, data.metadata())?;
        fs::File::open(data.path())?.sync_all()?;
        self.report(&head, counts, cluster_id, missing)
    }

    /// Brings every blob that the backup needs under the generation that its record names; those without.
    async fn bring_blobs(&self, store: &BlobStore) -> Result<Vec<String>> {
        let mut missing = Vec::new();
        let mut reader = BackupReader::open(&self.file)?;
        while let Some(frame) = reader.next_frame()? {
            let Frame::Blob(blob) = frame else { continue };
            let copy = copy_of(&blob)?;
            if store.has_copy(&copy.digest, copy.generation).await? {
                continue;
            }
            let found = match &self.blobs {
                Some(dir) => import(store, &dir.join(blob_path(&copy.digest)), &copy).await?,
                None => false,
            };
            if !found {
                missing.push(blob.digest);
            }
        }
        Ok(missing)
    }

    fn report(&self, head: &Head, counts: Counts, cluster_id: [u8; 16], missing: Vec<String>) -> Result<()> {
        let Counts { repositories, tags, manifests, blobs, blob_bytes } = counts;
        let report = Report {
            cluster_id: text_of(cluster_id),
            restored_from: head.cluster_id.clone(),
            index: head.index,
            repositories,
            tags,
            manifests,
            blobs,
            blob_bytes,
            missing,
        };
        print(&render(self.output, &report, |report| {
            let rows = pairs([
                ("cluster", format!("{} (new)", report.cluster_id)),
                ("restored from", format!("{} at index {}", report.restored_from, report.index)),
                ("repositories", report.repositories.to_string()),
                ("tags", report.tags.to_string()),
                ("manifests", report.manifests.to_string()),
                ("blobs", format!("{}, {}", report.blobs, bytes(report.blob_bytes))),
                ("blobs missing", report.missing.len().to_string()),
            ]);
            rows + &lines(&report.missing)
                + "start it with: shoal serve --data-dir "
                + &self.data_dir.display().to_string()
                + "\n"
        }))
    }
}

/// One a line.
pub(super) fn lines(texts: &[String]) -> String {
    texts.iter().map(|text| format!("  {text}\n")).collect()
}

/// As operators see it.
pub(super) fn text_of(cluster_id: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(cluster_id))
}

/// Random: nothing of another cluster is worth anything in this one.
pub(super) fn new_cluster_id() -> Result<[u8; 16]> {
    let mut cluster_id = [0; 16];
    getrandom::fill(&mut cluster_id)?;
    Ok(cluster_id)
}

/// A pair as it is in the new cluster.
pub(super) fn taken_over(pair: Pair, cluster_id: [u8; 16]) -> Result<Option<Pair>, StorageError> {
    let (key, value) = pair;
    match take_over(&key, value, cluster_id) {
        Ok(value) => Ok(value.map(|value| (key, value))),
        Err(source) => Err(StorageError::Unusable { source: Box::new(source) }),
    }
}

/// The pairs of a backup that was verified; if it changed since, they end with an error.
fn pairs_of(file: &Path) -> Result<impl Iterator<Item = Result<Pair, StorageError>> + Send + use<>> {
    let mut reader = BackupReader::open(file)?;
    Ok(std::iter::from_fn(move || {
        loop {
            match reader.next_frame() {
                Ok(Some(Frame::Pair(key, value))) => return Some(Ok((key, value))),
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some(Err(StorageError::Unusable { source: Box::new(error) })),
            }
        }
    }))
}

fn copy_of(blob: &NeededBlob) -> Result<BlobCopy> {
    let root: Option<Vec<u8>> = (0..blob.pieces_root.len() / 2)
        .map(|at| u8::from_str_radix(blob.pieces_root.get(2 * at..2 * at + 2)?, 16).ok())
        .collect();
    Ok(BlobCopy {
        digest: blob.digest.parse().context("the backup names a blob by no digest")?,
        size: blob.size,
        generation: blob.generation.parse().context("the backup names no generation of a blob")?,
        pieces_root: root
            .and_then(|root| root.try_into().ok())
            .context("the backup has no root of a blob")?,
    })
}

/// Copies a file into the store, checked and synced, as the copy that the record names. False if there is
/// none, or its content is not the blob.
async fn import(store: &BlobStore, path: &Path, copy: &BlobCopy) -> Result<bool> {
    let file = match tokio::fs::File::open(path).await {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    let owner = UploadOwner { principal: "restore".to_owned(), repository: "restore".to_owned() };
    let upload = store.start_upload(owner, copy.digest.algorithm()).await?;
    let parts = futures::stream::try_unfold(file, |mut file| async move {
        let mut part = vec![0; PART];
        let count = tokio::io::AsyncReadExt::read(&mut file, &mut part).await?;
        part.truncate(count);
        Ok::<_, std::io::Error>((count > 0).then(|| (Bytes::from(part), file)))
    });
    upload
        .append(Some(0), None, Box::pin(parts))
        .await
        .with_context(|| format!("{} cannot be copied", path.display()))?;
    let staged = match upload.finish(copy.digest).await {
        Ok(staged) => staged,
        Err(blobs::BlobError::DigestMismatch { .. }) => {
            upload.cancel();
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    };
    if (staged.size, staged.pieces_root) != (copy.size, copy.pieces_root) {
        let digest: Digest = copy.digest;
        bail!("the backup describes the blob {digest} otherwise than its bytes are");
    }
    store.adopt(&staged, copy.generation).await?;
    Ok(true)
}
