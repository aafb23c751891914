//! What other crates count, under the names that `/metrics` gives them.

use std::sync::atomic::Ordering;

use blobs::BlobStore;
use cluster::Metadata;
use peer::{Link, Peers};

use crate::telemetry::metrics::Figure;

/// Reads them all, whenever it is called.
pub(super) fn figures(
    metadata: Metadata,
    blobs: BlobStore,
    peers: Peers,
) -> impl Fn() -> Vec<Figure> + Send + Sync {
    move || [of_blobs(&blobs), of_metadata(&metadata), of_peers(&peers)].concat()
}

fn of_blobs(blobs: &BlobStore) -> Vec<Figure> {
    let disk = blobs.metrics();
    vec![
        Figure::counter("blob_written_bytes", "Upload bytes written to files", disk.written_bytes.get()),
        Figure::counter(
            "blob_verified_bytes",
            "Bytes checked before they were sent",
            disk.verified_bytes.get(),
        ),
        Figure::counter("blob_fsyncs", "Calls of fsync for blobs", disk.fsyncs.get()),
        Figure::counter("blob_damaged_copies", "Copies found missing or damaged", disk.damaged_copies.get()),
        Figure::counter("uploads_started", "Upload sessions begun", disk.uploads_started.get()),
        Figure::counter("uploads_finished", "Uploads that became blobs", disk.uploads_finished.get()),
        Figure::counter("uploads_expired", "Idle upload sessions removed", disk.uploads_expired.get()),
        Figure::gauge(
            "blob_volume_failed",
            "1 after a failed fsync, until restart",
            u64::from(disk.volume_failed.load(Ordering::Relaxed)),
        ),
        Figure::counter(
            "blob_fetched_bytes",
            "Bytes taken from other nodes",
            disk.received_bytes.get() + disk.ahead_bytes.get(),
        ),
        Figure::counter(
            "blob_ahead_bytes",
            "Bytes that other nodes sent while they took an upload in, and that were right",
            disk.ahead_bytes.get(),
        ),
        Figure::counter("blob_copies_received", "Copies made from other nodes", disk.copies_received.get()),
        Figure::counter(
            "blob_pieces_refused",
            "Pieces from other nodes that were not of the blob",
            disk.pieces_refused.get(),
        ),
    ]
}

fn of_metadata(metadata: &Metadata) -> Vec<Figure> {
    let raft = metadata.status();
    vec![
        Figure::gauge("raft_term", "Term", raft.term),
        Figure::gauge("raft_last_log_index", "Last entry of the log", raft.last_log_index),
        Figure::gauge("raft_applied_index", "Last entry applied", raft.applied_index),
        Figure::gauge("raft_snapshot_index", "Last entry that a snapshot covers", raft.snapshot_index),
        Figure::gauge("raft_ready", "1 while writes can be agreed on", u64::from(raft.ready)),
        Figure::counter("raft_entries", "Entries proposed", raft.entries_proposed),
        Figure::counter("raft_commands", "Commands proposed", raft.commands_proposed),
        Figure::gauge("metadata_log_bytes", "Size of the log's entries", raft.log_bytes),
        Figure::gauge("metadata_disk_bytes", "Size of the metadata on disk", raft.disk_bytes),
        Figure::gauge("raft_voters", "Nodes that vote", raft.voters.len() as u64),
        Figure::gauge(
            "raft_followers_lag",
            "Entries that the last of the followers lacks; 0 unless this node leads",
            raft.followers.iter().map(|follower| follower.lag).max().unwrap_or(0),
        ),
    ]
}

fn of_peers(peers: &Peers) -> Vec<Figure> {
    let [control, bulk] = [Link::Control, Link::Bulk].map(|link| peers.metrics().link(link));
    let refused = control.peers_refused_total.get() + bulk.peers_refused_total.get();
    vec![
        Figure::gauge("peer_control_connections", "Connections for calls", control.connections.get()),
        Figure::gauge("peer_bulk_connections", "Connections for bytes", bulk.connections.get()),
        Figure::counter("peer_control_sent_bytes", "Bytes of calls sent", control.sent_bytes_total.get()),
        Figure::counter(
            "peer_control_received_bytes",
            "Bytes of calls received",
            control.received_bytes_total.get(),
        ),
        Figure::counter("peer_bulk_sent_bytes", "Bytes of streams sent", bulk.sent_bytes_total.get()),
        Figure::counter(
            "peer_bulk_received_bytes",
            "Bytes of streams received",
            bulk.received_bytes_total.get(),
        ),
        Figure::counter("peer_refused", "Connections that were not let in", refused),
    ]
}
