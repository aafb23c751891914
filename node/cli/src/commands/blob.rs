//! `shoal blob`: what became of the bytes.

use clap::Subcommand;
use proto::admin::{DamagedBlob, DamagedBlobs};

use crate::Options;
use crate::client::{Client, ClientError};
use crate::output::{bytes, columns, render};

/// See the module.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the blobs of which every copy is missing or damaged; pushing one again heals it.
    Damaged(Options),
}

pub(crate) fn run(command: Command) -> Result<String, ClientError> {
    let Command::Damaged(options) = command;
    let blobs: DamagedBlobs = Client::new(&options.access)?.get("blobs/damaged")?;
    Ok(render(options.output, &blobs, table))
}

fn table(found: &DamagedBlobs) -> String {
    let row =
        |blob: &DamagedBlob| vec![blob.digest.clone(), bytes(blob.size_bytes), blob.repositories.join(",")];
    let rows = columns(&["DIGEST", "SIZE", "REPOSITORIES"], found.blobs.iter().map(row));
    if found.more { rows + "and more\n" } else { rows }
}
