//! What other crates count, under the names that `/metrics` gives them.

use std::sync::atomic::Ordering;

use blobs::BlobStore;
use cluster::Metadata;

use crate::telemetry::metrics::Figure;

/// Reads them all, whenever it is called.
pub(super) fn figures(metadata: Metadata, blobs: BlobStore) -> impl Fn() -> Vec<Figure> + Send + Sync {
    move || {
        let (disk, raft) = (blobs.metrics(), metadata.status());
        vec![
            Figure::counter("blob_written_bytes", "Upload bytes written to files", disk.written_bytes.get()),
            Figure::counter(
                "blob_verified_bytes",
                "Bytes checked before they were sent",
                disk.verified_bytes.get(),
            ),
            Figure::counter("blob_fsyncs", "Calls of fsync for blobs", disk.fsyncs.get()),
            Figure::counter(
                "blob_damaged_copies",
                "Copies found missing or damaged",
                disk.damaged_copies.get(),
            ),
            Figure::counter("uploads_started", "Upload sessions begun", disk.uploads_started.get()),
            Figure::counter("uploads_finished", "Uploads that became blobs", disk.uploads_finished.get()),
            Figure::counter("uploads_expired", "Idle upload sessions removed", disk.uploads_expired.get()),
            Figure::gauge(
                "blob_volume_failed",
                "1 after a failed fsync, until restart",
                u64::from(disk.volume_failed.load(Ordering::Relaxed)),
            ),
            Figure::gauge("raft_term", "Term", raft.term),
            Figure::gauge("raft_last_log_index", "Last entry of the log", raft.last_log_index),
            Figure::gauge("raft_applied_index", "Last entry applied", raft.applied_index),
            Figure::gauge("raft_snapshot_index", "Last entry that a snapshot covers", raft.snapshot_index),
            Figure::gauge("raft_ready", "1 while writes can be agreed on", u64::from(raft.ready)),
            Figure::counter("raft_entries", "Entries proposed", raft.entries_proposed),
            Figure::counter("raft_commands", "Commands proposed", raft.commands_proposed),
            Figure::gauge("metadata_log_bytes", "Size of the log's entries", raft.log_bytes),
            Figure::gauge("metadata_disk_bytes", "Size of the metadata on disk", raft.disk_bytes),
        ]
    }
}
