//! Many nodes behind slow links that pull one blob at once: one bridge, or regions joined by slower links.
//!
//! Owns the two layouts and the counting. Data are in memory: the nodes of one machine would share a disk that
//! real ones do not. Every client is on the node that it asks, so only nodes use the links.

use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::Instant;

use super::Bench;
use super::network::{End, Network, inside};
use super::shoal::{Cluster, Node, Place, REPOSITORY, curl};
use super::table::{Row, Target, percentile};
use super::transfer::stream;
use crate::content::BlobSource;
use crate::process::cpu_seconds;
use crate::size::MIB;

const NODE_MBIT: u32 = 100;
const REGION_MBIT: u32 = 20;
const REGIONS: usize = 3;
const NODES_PER_REGION: usize = 3;
const PULL_LIMIT: Duration = Duration::from_secs(300);

fn seconds_at(bytes: u64, mbit: u32) -> f64 {
    bytes as f64 * 8.0 / (f64::from(mbit) * 1e6)
}

/// Pushes the blob of `size` bytes at `node` by the `load` tool beside this one, and returns its path.
async fn push(node: &Node, size: u64) -> anyhow::Result<String> {
    let load = std::env::current_exe()?.with_file_name("load");
    let (program, mut arguments) = node.place.enter(&load.display().to_string());
    arguments.extend(["--url", &node.url(), "--repository", REPOSITORY, "--count", "1"].map(str::to_owned));
    arguments.extend(["blob-get", "--size", &size.to_string()].map(str::to_owned));
    let mut command = std::process::Command::new(program);
    command.args(arguments).env("LOAD_USER", Cluster::curl_user());
    let output = tokio::task::spawn_blocking(move || command.output()).await?.context("the load tool")?;
    ensure!(output.status.success(), "push: {}", String::from_utf8_lossy(&output.stderr));
    Ok(format!("/v2/{REPOSITORY}/blobs/{}", BlobSource::new(size).blob(0).digest))
}

/// Lets all `nodes` pull `path` at once; gives the seconds that each took.
async fn pull(nodes: &[&Node], path: &str, size: u64) -> anyhow::Result<Vec<f64>> {
    let limit = PULL_LIMIT.as_secs().to_string();
    let mut clients = Vec::new();
    let begin = Instant::now();
    for node in nodes {
        let url = format!("{}{path}", node.url());
        let told = "%{http_code} %{size_download}";
        let mut client = curl(&node.place, &["-s", "-m", &limit, "-o", "/dev/null", "-w", told, &url]);
        clients.push(client.stdout(Stdio::piped()).spawn().context("curl")?);
    }
    let mut waiting = tokio::task::JoinSet::new();
    for client in clients {
        waiting.spawn_blocking(move || (client.wait_with_output(), begin.elapsed().as_secs_f64()));
    }
    let mut times = Vec::new();
    for (output, time) in waiting.join_all().await {
        let said = String::from_utf8(output?.stdout)?;
        ensure!(said == format!("200 {size}"), "a client got {said}");
        times.push(time);
    }
    Ok(times)
}

/// The same bytes by plain TCP, each node to the next, all at once: what links and processors allow without any
/// exchange. Gives seconds.
async fn pass_on(places: &[Place], size: u64) -> anyhow::Result<f64> {
    let mut links = Vec::new();
    for (from, to) in places.iter().zip(places.iter().skip(1)) {
        let listener = open(to, || Ok(TcpListener::bind((to.address, 0))?))?;
        let address = listener.local_addr()?;
        let sender = open(from, || Ok(TcpStream::connect(address)?))?;
        links.push((sender, listener.accept()?.0));
    }
    let mut streams = tokio::task::JoinSet::new();
    let begin = Instant::now();
    for (sender, receiver) in links {
        for end in [&sender, &receiver] {
            end.set_nonblocking(true)?;
        }
        streams.spawn(stream(sender.try_into()?, receiver.try_into()?, size));
    }
    while let Some(streamed) = streams.join_next().await {
        streamed??;
    }
    Ok(begin.elapsed().as_secs_f64())
}

fn open<T: Send>(place: &Place, make: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    inside(place.namespace.as_deref().context("a place without a namespace")?, make)
}

/// The section of equal links: one seed, all others are edges, which are no home of any blob; so nothing
/// copies the blob before the clients ask.
///
/// # Errors
/// When this process may not make namespaces, or a node does not come up.
pub async fn measure_swarm(bench: &Bench) -> anyhow::Result<(Vec<Row>, Vec<String>)> {
    let (size, count) = (bench.scale.swarm_blob, bench.scale.swarm_nodes);
    let mut network = Network::new("swarm");
    let switch = network.switch("switch")?;
    let (mut places, mut ends) = (Vec::new(), Vec::new());
    for index in 0..count {
        let (namespace, address, end) = network.node(&switch, Some(NODE_MBIT))?;
        places.push(Place { namespace: Some(namespace), address, ..Place::local(index) });
        ends.push(end);
    }
    let passed_on = pass_on(&places, size).await?;
    let edges = places.split_off(1);
    let seed = places.pop().context("no node")?;
    let mut cluster = Cluster::begin(bench, &bench.memory.join("swarm"), seed).await?;
    cluster.join(edges, true).await?;
    let path = push(&cluster.nodes[0], size).await?;
    let (before, spent) = (ends[0].bytes()?.1, cpu(&cluster));
    let pulling: Vec<_> = cluster.nodes.iter().skip(1).collect();
    let times = pull(&pulling, &path, size).await?;
    let spent = cpu(&cluster) - spent;
    let sent = (ends[0].bytes()?.1 - before) as f64 / size as f64;
    let what = format!("{count} nodes, {NODE_MBIT} Mbit/s each, one seed: {} MiB everywhere", size / MIB);
    let least = seconds_at(size, NODE_MBIT);
    let rows = vec![
        Row::new(&what, "s", percentile(&times, 100.0))
            .beside("size/rate", least)
            .target(Target::OfPeerAtMost(1.35)),
        Row::new(&what, "p50 s", percentile(&times, 50.0)).beside("size/rate", least),
        Row::new("the same by plain TCP, each node to the next", "s", passed_on).beside("size/rate", least),
        Row::new(&what, "copies the seed sent", sent),
        Row::new(&what, "CPU s of all nodes", spent),
    ];
    let note = "Swarm: the seed is the cluster's only full node, the others are edges; the rate counts \
                headers of packets, 4.6 % of it; data in memory; clients read the whole blob."
        .into();
    Ok((rows, vec![note]))
}

/// The section of regions: the homes are in the first, all nodes of the two others pull at once.
///
/// # Errors
/// When this process may not make namespaces, or a node does not come up.
pub async fn measure_regions(bench: &Bench) -> anyhow::Result<(Vec<Row>, Vec<String>)> {
    let size = bench.scale.region_blob;
    let mut network = Network::new("region");
    let hub = network.switch("hub")?;
    let (mut places, mut uplinks) = (Vec::new(), Vec::new());
    for region in 0..REGIONS {
        let switch = network.switch(&format!("switch{region}"))?;
        uplinks.push(network.join(&switch, &hub, &region.to_string(), REGION_MBIT)?);
        for index in 0..NODES_PER_REGION {
            let (namespace, address, _) = network.node(&switch, None)?;
            let (region, zone) = (format!("region-{region}"), format!("z{index}"));
            places.push(Place { namespace: Some(namespace), address, region, zone });
        }
    }
    let others = places.split_off(1);
    let first = places.pop().context("no node")?;
    let mut cluster = Cluster::begin(bench, &bench.memory.join("regions"), first).await?;
    cluster.join(others, false).await?;
    let path = push(&cluster.nodes[0], size).await?;
    cluster.settle().await?;
    let before = counts(&uplinks)?;
    let pulling: Vec<_> = cluster.nodes.iter().skip(NODES_PER_REGION).collect();
    let times = pull(&pulling, &path, size).await?;
    let after = counts(&uplinks)?;
    let share = |from: u64, to: u64| (to - from) as f64 / size as f64;
    let received: Vec<_> = (1..REGIONS).map(|region| share(before[region].0, after[region].0)).collect();
    let what = format!(
        "{REGIONS} regions of {NODES_PER_REGION} nodes, {REGION_MBIT} Mbit/s between them: {} MiB everywhere",
        size / MIB
    );
    let rows = vec![
        Row::new(&what, "wide-area bytes into a region / size", percentile(&received, 100.0))
            .target(Target::AtMost(1.1)),
        Row::new(&what, "copies that left the first region", share(before[0].1, after[0].1)),
        Row::new(&what, "s", percentile(&times, 100.0)).beside("size/rate", seconds_at(size, REGION_MBIT)),
    ];
    let note =
        "Regions: the blob's homes are the nodes of the first region; bytes are those of the region's \
                uplink with headers, Raft's among them."
            .into();
    Ok((rows, vec![note]))
}

/// Processor seconds of all nodes so far: twenty on a few cores may be slower than their links.
fn cpu(cluster: &Cluster) -> f64 {
    cluster.nodes.iter().filter_map(|node| node.process.pid()).map(cpu_seconds).sum()
}

fn counts(uplinks: &[End]) -> anyhow::Result<Vec<(u64, u64)>> {
    uplinks.iter().map(End::bytes).collect()
}
