//! What other crates count, under the names that `/metrics` gives them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use blobs::BlobStore;
use cluster::Metadata;
use peer::exchange::Class;
use peer::{Link, Peers, Protocol};

use super::Parts;
use crate::adapters::copies::Copies;
use crate::adapters::exchange::{Fetches, Server};
use crate::jobs::scrub::Progress;
use crate::registry::edge::Edge;
use crate::telemetry::audit::Audit;
use crate::telemetry::metrics::Figure;

/// For each class of links between nodes: bytes sent, bytes received, waits for the rate.
const LINKS: [(Class, [&str; 3]); 3] = [
    (Class::Site, ["exchange_site_sent_bytes", "exchange_site_received_bytes", "exchange_site_rate_waits"]),
    (
        Class::Region,
        ["exchange_region_sent_bytes", "exchange_region_received_bytes", "exchange_region_rate_waits"],
    ),
    (
        Class::Wide,
        [
            "exchange_wide_area_sent_bytes",
            "exchange_wide_area_received_bytes",
            "exchange_wide_area_rate_waits",
        ],
    ),
];

/// Reads them all, whenever it is called.
pub(super) fn figures(
    parts: &Parts,
    copies: &Copies,
    server: Arc<Server>,
    scrub: Arc<Progress>,
    edge: Option<Edge>,
) -> impl Fn() -> Vec<Figure> + Send + Sync + use<> {
    let (metadata, blobs, peers) = (parts.metadata.clone(), parts.blobs.clone(), parts.peers.clone());
    let (fetches, audit) = (copies.fetches.clone(), parts.audit.clone());
    move || {
        let figures = [
            of_blobs(&blobs),
            of_cache(&blobs),
            of_scrub(&blobs, &scrub),
            of_metadata(&metadata),
            of_peers(&peers),
            of_exchange(&fetches, &server),
            of_edge(edge.as_ref()),
            of_audit(&audit),
        ];
        figures.concat()
    }
}

fn of_audit(audit: &Audit) -> Vec<Figure> {
    let (written, lost) = audit.counts();
    vec![
        Figure::counter("audit_entries", "Entries of the audit log written", written),
        Figure::counter("audit_entries_lost", "Entries that the disk did not take, or not soon enough", lost),
    ]
}

/// Nothing of other nodes: a graph of an absent figure is no flat line.
fn of_edge(edge: Option<&Edge>) -> Vec<Figure> {
    let age = edge.map(|edge| {
        let help = "Since this edge last knew that its state is current";
        Figure::gauge("edge_contact_age_seconds", help, edge.age().as_secs())
    });
    age.into_iter().collect()
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
        Figure::gauge(
            "blob_damaged_now",
            "Copies missing or damaged that were not made again yet",
            blobs.damaged().len() as u64,
        ),
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

fn of_cache(blobs: &BlobStore) -> Vec<Figure> {
    let disk = blobs.metrics();
    vec![
        Figure::gauge(
            "cache_bytes",
            "Copies here that the cluster does not count on, when last measured",
            disk.cache_bytes.load(Ordering::Relaxed),
        ),
        Figure::counter("cache_evicted_copies", "Such copies that were removed", disk.evicted_copies.get()),
        Figure::counter("cache_evicted_bytes", "Bytes of them", disk.evicted_bytes.get()),
    ]
}

fn of_scrub(blobs: &BlobStore, scrub: &Progress) -> Vec<Figure> {
    let place = scrub.now();
    vec![
        Figure::counter(
            "scrub_checked_bytes",
            "Bytes of stored copies checked by the scrub",
            blobs.metrics().scrubbed_bytes.get(),
        ),
        Figure::gauge("scrub_running", "1 while a pass of the scrub runs", u64::from(place.is_running)),
        Figure::gauge("scrub_found", "Damaged copies that the running or last pass found", place.found),
        Figure::gauge(
            "scrub_last_pass_seconds",
            "When the last whole pass ended, Unix time; 0: never",
            place.ended_ms.unwrap_or(0) / 1000,
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
    let failed = control.handshakes_failed_total.get() + bulk.handshakes_failed_total.get();
    let requests = Protocol::ALL.map(|protocol| peers.metrics().protocol(protocol).refused_total.get());
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
        Figure::counter("peer_handshakes_failed", "Handshakes of others that came to nothing", failed),
        Figure::counter(
            "peer_requests_refused",
            "Requests and streams refused to peers",
            requests.iter().sum(),
        ),
    ]
}

fn of_exchange(fetches: &Fetches, server: &Server) -> Vec<Figure> {
    let of_link = |(class, [sent, received, waits]): (Class, [&'static str; 3])| {
        [
            Figure::counter(
                sent,
                "Blob bytes sent to nodes over this class of links",
                server.sent_bytes(class),
            ),
            Figure::counter(
                received,
                "Blob bytes received over it, also wrong ones",
                fetches.received_bytes(class),
            ),
            Figure::counter(waits, "Times that bytes waited for its rate", server.rate_waits(class)),
        ]
    };
    let mut figures: Vec<Figure> = LINKS.into_iter().flat_map(of_link).collect();
    figures.push(Figure::counter(
        "exchange_quarantines",
        "Nodes not asked for blobs any more, since they sent wrong bytes three times",
        fetches.quarantines_total(),
    ));
    figures.push(Figure::gauge(
        "exchange_quarantined_nodes",
        "Nodes that are not asked for blobs now",
        fetches.quarantined() as u64,
    ));
    figures
}
