//! `shoal recover`: when the other voters are lost for good, what this node has becomes a new cluster of one
//! node. It may lack what only the others had, so a person must say that this is accepted.
//!
//! The new metadata takes the place of the old one in one step; the old one stays beside it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use blobs::BlobStore;
use cli::{Format, pairs, render};
use cluster::{Founded, Offline};
use cluster_core::record::ClusterRecord;
use cluster_core::state;
use rustix::fs::{CWD, RenameFlags};
use serde::Serialize;

use super::print;
use super::restore::{UNFINISHED, lines, new_cluster_id, taken_over, text_of};
use crate::auth::node_key::NodeKey;
use crate::data_dir::DataDir;

/// Blobs that are looked at in one page.
const PAGE: usize = 1024;
/// Storage may take this long to come to rest.
const REST: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, clap::Args)]
pub(crate) struct Recover {
    /// The data directory of this node, which must not run
    #[arg(long, env = "SHOAL_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
    /// Do it, although what only the lost nodes had is lost; without it nothing changes, and what would be
    /// lost is shown
    #[arg(long)]
    accept_data_loss: bool,
    /// How the answer is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// What is there, and what is lost.
#[derive(Debug, Serialize)]
struct Report {
    /// Of the new cluster; none if nothing was changed.
    cluster_id: Option<String>,
    /// Of the cluster that is lost.
    recovered_from: String,
    /// Last entry of this node's log; later ones are lost.
    index: u64,
    term: u64,
    /// The nodes that are left behind: their addresses. They cannot come back.
    left_behind: Vec<String>,
    blobs: u64,
    /// Blobs without a copy on this node: pulls of them answer 503 until they are pushed again.
    lost_blobs: Vec<String>,
}

impl Recover {
    /// Does it. Blocks.
    pub(crate) fn run(self) -> Result<()> {
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(self.recover())
    }

    async fn recover(self) -> Result<()> {
        let metadata = self.data_dir.join("metadata");
        if !metadata.try_exists()? {
            bail!("{} has no metadata: it is no node's data directory", self.data_dir.display());
        }
        let data = DataDir::open(&self.data_dir)?;
        let key = NodeKey::open(data.path())?;
        let offline = Offline::open(&data.metadata()).await?;
        let old: ClusterRecord =
            state::cluster::cluster(&offline)?.context("this node never belonged to a cluster")?;
        let own = |node: &u64| *node == key.node().get();
        let members = offline.members();
        let left_behind: Vec<String> =
            members.iter().filter(|(node, _)| !own(node)).map(|(_, address)| address.clone()).collect();
        if left_behind.is_empty() {
            bail!("this node is its whole cluster: nothing is lost, start it with shoal serve");
        }
        let address = members.iter().find(|(node, _)| own(node)).map(|(_, address)| address.clone());
        let (blobs, lost_blobs) = lost_blobs(&data, &key, &offline).await?;
        let position = offline.position();
        let mut report = Report {
            cluster_id: None,
            recovered_from: text_of(old.cluster_id),
            index: position.index,
            term: position.term,
            left_behind,
            blobs,
            lost_blobs,
        };
        if !self.accept_data_loss {
            print(&self.show(&report))?;
            bail!("nothing was changed; if the other voters are lost for good, give --accept-data-loss");
        }
        let cluster_id = new_cluster_id()?;
        let founded = Founded { node: key.node(), address: address.unwrap_or_default(), position };
        let unfinished = data.path().join(UNFINISHED);
        let pairs = offline.into_pairs().map(move |pair| taken_over(pair?, cluster_id));
        cluster::found(&unfinished, founded, pairs.filter_map(Result::transpose)).await?;
        // Both names change at once: there is no moment without metadata.
        rustix::fs::renameat_with(CWD, &unfinished, CWD, data.metadata(), RenameFlags::EXCHANGE)
            .context("the new metadata cannot take the place of the old one")?;
        let kept = data.path().join(format!("metadata.{}", report.recovered_from));
        fs::rename(&unfinished, kept).context("the old metadata cannot be put aside")?;
        fs::File::open(data.path())?.sync_all()?;
        report.cluster_id = Some(text_of(cluster_id));
        print(&self.show(&report))
    }

    fn show(&self, report: &Report) -> String {
        render(self.output, report, |report| {
            let mut rows = vec![
                ("recovered from", report.recovered_from.clone()),
                ("last entry", format!("{} of term {}; later ones are lost", report.index, report.term)),
                ("nodes left behind", report.left_behind.join(" ")),
                ("blobs", format!("{}, of which {} are lost", report.blobs, report.lost_blobs.len())),
            ];
            if let Some(cluster_id) = &report.cluster_id {
                rows.insert(0, ("cluster", format!("{cluster_id} (new)")));
            }
            pairs(rows) + &lines(&report.lost_blobs)
        })
    }
}

/// How many blobs there are, and those without a file here.
async fn lost_blobs(data: &DataDir, key: &NodeKey, offline: &Offline) -> Result<(u64, Vec<String>)> {
    // Opening would make the directory, and hide from the next start that the blobs are gone.
    let store = match data.has_blobs()? {
        true => Some(BlobStore::open(&data.blobs(), blobs::Settings::new(key.node())).await?),
        false => None,
    };
    let (mut after, mut count, mut lost) = (None, 0, Vec::new());
    loop {
        let page = state::blob::blobs(offline, after.as_ref(), PAGE)?;
        for (digest, record) in &page.items {
            count += 1;
            let is_here = match &store {
                Some(store) => store.has_copy(digest, record.generation).await?,
                None => false,
            };
            if !is_here {
                lost.push(digest.to_string());
            }
        }
        match page.items.last() {
            Some((last, _)) if page.more => after = Some(*last),
            _ => break,
        }
    }
    if let Some(store) = store {
        store.shutdown(REST).await;
    }
    Ok((count, lost))
}
