//! Large blobs on one machine: pushes to three nodes beside one, and a fetch from another node.
//!
//! Owns the rounds. Every push is of a blob that nobody has.

use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::Bench;
use super::shoal::{Cluster, Node, Place, REPOSITORY};
use super::table::{Row, Target, median};
use crate::client::Connection;
use crate::content::{Blob, BlobSource};
use crate::process::Watch;
use crate::size::MIB;
use crate::workload::blob_push::push_blob;
use crate::workload::{BlobGet, Operation, Upload, fresh_base};

const WARM_UP: u64 = 16 << 20;
const LIMIT: Duration = Duration::from_secs(600);
const BUFFER: usize = 256 * 1024;

fn rate(bytes: u64, begin: Instant) -> f64 {
    bytes as f64 / MIB as f64 / begin.elapsed().as_secs_f64()
}

/// MiB/s of one push.
async fn push(node: &Node, blob: &Blob) -> anyhow::Result<f64> {
    let mut connection = Connection::open(node.login().await?).await?;
    let begin = Instant::now();
    push_blob(&mut connection, REPOSITORY, blob, Upload::Monolithic).await?;
    Ok(rate(blob.size, begin))
}

/// The section of pushes.
///
/// # Errors
/// When a node does not come up or refuses a push.
pub async fn measure_push(bench: &Bench) -> anyhow::Result<(Vec<Row>, Vec<String>)> {
    let one = Cluster::on_loopback(bench, &bench.disk.join("push-one"), 1).await?;
    let three = Cluster::on_loopback(bench, &bench.disk.join("push-three"), 3).await?;
    let (source, base) = (BlobSource::new(bench.scale.blob), fresh_base());
    let (mut alone, mut copied) = (Vec::new(), Vec::new());
    push(&one.nodes[0], &BlobSource::new(WARM_UP).blob(base)).await?;
    push(&three.nodes[0], &BlobSource::new(WARM_UP).blob(base)).await?;
    three.settle().await?;
    for (round, node) in (0..bench.scale.rounds).zip(three.nodes.iter().cycle()) {
        let blob = source.blob(base + u128::from(round));
        alone.push(push(&one.nodes[0], &blob).await?);
        copied.push(push(node, &blob).await?);
        // The third copy is made after the answer; the next push shall not share the disk with it.
        three.settle().await?;
    }
    let what = format!("push of {} MiB, 2 copies on 3 nodes", bench.scale.blob / MIB);
    let row = Row::new(what, "MiB/s", median(&copied)).beside("one node", median(&alone));
    let note = format!("Push: one disk under all nodes; {} rounds in turn, by PUT.", bench.scale.rounds);
    Ok((vec![row.target(Target::OfPeer(0.4))], vec![note]))
}

/// The section of fetches: an edge without the blob answers one client.
///
/// # Errors
/// When a node does not come up or refuses.
pub async fn measure_fetch(bench: &Bench) -> anyhow::Result<(Vec<Row>, Vec<String>)> {
    let mut cluster = Cluster::begin(bench, &bench.disk.join("fetch"), Place::local(0)).await?;
    cluster.join(vec![Place::local(1)], true).await?;
    let (holder, edge) = (&cluster.nodes[0], &cluster.nodes[1]);
    let base = fresh_base();
    fetch(holder, edge, &BlobSource::new(WARM_UP).blob(base)).await?;
    let source = BlobSource::new(bench.scale.blob);
    let (mut rates, mut plain, mut growth, mut anonymous) = (Vec::new(), Vec::new(), 0.0_f64, 0.0_f64);
    for round in 0..bench.scale.rounds {
        let fetched = fetch(holder, edge, &source.blob(base + u128::from(round))).await?;
        rates.push(fetched.rate);
        growth = growth.max(fetched.growth);
        anonymous = anonymous.max(fetched.anonymous);
        plain.push(plain_tcp(bench.scale.blob).await?);
    }
    let what = format!("GET of {} MiB that another node has", bench.scale.blob / MIB);
    let rows = vec![
        Row::new(&what, "MiB/s", median(&rates)).beside("plain TCP", median(&plain)),
        Row::new(&what, "RSS growth MiB", growth).target(Target::AtMost(64.0)),
        Row::new(&what, "peak MiB without files", anonymous),
    ];
    let note = "Fetch: from a node over TLS, checked, written to disk and sent to the client, beside bytes \
                through one TCP connection; the worst of the rounds for memory."
        .into();
    Ok((rows, vec![note]))
}

struct Fetched {
    rate: f64,
    /// Resident memory, MiB.
    growth: f64,
    /// Resident memory that no file backs, MiB.
    anonymous: f64,
}

async fn fetch(holder: &Node, edge: &Node, blob: &Blob) -> anyhow::Result<Fetched> {
    push(holder, blob).await?;
    let mut connection = Connection::open(edge.login().await?).await?;
    let path = format!("/v2/{REPOSITORY}/blobs/{}", blob.digest);
    let get = Operation::BlobGet(BlobGet::at(path, None));
    let watch = Watch::begin(edge.process.pid().context("the edge has ended")?);
    let begin = Instant::now();
    let got = get.step(&mut connection, 0, begin + LIMIT).await?;
    let rate = rate(got.bytes, begin);
    let usage = watch.finish();
    anyhow::ensure!(got.bytes == blob.size && !got.cut_short, "{} of {} bytes came", got.bytes, blob.size);
    let mib = |bytes: u64| bytes as f64 / MIB as f64;
    let growth = mib(usage.rss_peak.saturating_sub(usage.rss_before));
    Ok(Fetched { rate, growth, anonymous: mib(usage.anonymous_peak) })
}

/// MiB/s of bytes from memory to memory through one connection on loopback.
async fn plain_tcp(size: u64) -> anyhow::Result<f64> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let sender = TcpStream::connect(listener.local_addr()?).await?;
    let (receiver, _) = listener.accept().await?;
    let begin = Instant::now();
    stream(sender, receiver, size).await?;
    Ok(rate(size, begin))
}

/// Sends `size` bytes from memory to memory, whole buffers of them.
pub(super) async fn stream(mut sender: TcpStream, mut receiver: TcpStream, size: u64) -> anyhow::Result<()> {
    let sending = tokio::spawn(async move {
        let buffer = vec![7; BUFFER];
        for _ in 0..size / BUFFER as u64 {
            sender.write_all(&buffer).await?;
        }
        sender.shutdown().await
    });
    let mut buffer = vec![0; BUFFER];
    while receiver.read(&mut buffer).await? > 0 {}
    sending.await??;
    Ok(())
}
