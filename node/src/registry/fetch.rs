//! The bytes of a blob, from this disk or, while they come, from other nodes.

use std::ops::Range;

use blobs::{BlobCopy, BlobError, Reader};
use bytes::Bytes;
use cluster_core::record::BlobRecord;
use cluster_core::state;

use super::{Registry, RegistryError};
use crate::adapters::exchange::{Fetch, StoreSink, blob_of};

/// A blob that can be read.
pub(crate) enum OpenBlob {
    /// It is whole on this disk.
    Here(Reader),
    /// It is on its way here.
    Coming(Fetch),
}

impl Registry {
    /// Checked bytes of `range` in order: whoever drops it stops wanting them. Ends as soon as it is known that no node has
    /// the blob any more.
    pub(crate) fn coming(
        &self,
        fetch: &Fetch,
        copy: &BlobCopy,
        range: Range<u64>,
    ) -> impl futures::Stream<Item = Result<Bytes, RegistryError>> + Send + use<> {
        let (reader, copies, copy) = (fetch.read(range), self.copies.clone(), *copy);
        futures::stream::unfold(Some((reader, copies)), move |reading| async move {
            let (mut reader, copies) = reading?;
            let next = tokio::select! {
                biased;
                next = reader.next() => next.map_err(RegistryError::from),
                () = copies.until_nowhere(&copy) => Err(BlobError::Missing.into()),
            };
            match next {
                Ok(Some(bytes)) => Some((Ok(bytes), Some((reader, copies)))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    /// The blob's bytes: this node's copy if it is good, or else a fetch from the nodes that have one, which
    /// all who ask share and which leaves a copy here.
    pub(crate) async fn open_blob(
        &self,
        copy: &BlobCopy,
        record: &BlobRecord,
    ) -> Result<OpenBlob, RegistryError> {
        let is_owed = record.copies.contains(&self.copies.own_receipt().node);
        let opened = match is_owed || !self.names_others(record) {
            // That it is missing is damage, and wakes the repair.
            true => self.blobs.open_copy(copy).await.map(Some),
            false => self.blobs.open_cached(copy).await,
        };
        match opened {
            Ok(Some(reader)) => Ok(OpenBlob::Here(reader)),
            Ok(None) => self.open_elsewhere(copy).await.map(OpenBlob::Coming),
            Err(error) => self.open_after(error, copy, record).await.map(OpenBlob::Coming),
        }
    }

    /// The same bytes from other nodes if `error` is about this node's copy and there are others; else `error`.
    pub(crate) async fn open_after(
        &self,
        error: BlobError,
        copy: &BlobCopy,
        record: &BlobRecord,
    ) -> Result<Fetch, RegistryError> {
        match error {
            BlobError::Damaged | BlobError::Missing if self.is_elsewhere(copy, record).await => {
                self.open_elsewhere(copy).await
            }
            error => Err(error.into()),
        }
    }

    async fn open_elsewhere(&self, copy: &BlobCopy) -> Result<Fetch, RegistryError> {
        let incoming = self.blobs.receive(*copy).await?;
        Ok(self.copies.fetches.fetch(blob_of(copy), StoreSink(incoming)))
    }

    fn names_others(&self, record: &BlobRecord) -> bool {
        let this = self.copies.own_receipt().node;
        record.copies.iter().any(|node| *node != this)
    }

    /// Whether another node has the blob: as `record` says, or the newest one, since a push may have healed it.
    async fn is_elsewhere(&self, copy: &BlobCopy, record: &BlobRecord) -> bool {
        if self.names_others(record) {
            return true;
        }
        let newest = self.metadata.read().await.ok();
        let newest = newest.and_then(|reader| state::blob::blob(&reader, &copy.digest).ok()?);
        newest.is_some_and(|newest| newest.generation == copy.generation && self.names_others(&newest))
    }

    /// Whether the blob can be read: for a pusher, who would push it again if not.
    pub(crate) async fn has_bytes(&self, copy: &BlobCopy, record: &BlobRecord) -> bool {
        self.names_others(record)
            || self.blobs.open_copy(copy).await.is_ok()
            || self.is_elsewhere(copy, record).await
    }
}
