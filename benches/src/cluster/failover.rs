//! How long nobody can write when the leader is killed, and when it is stopped as it wants to be.
//!
//! Owns the attempts and the gaps. After a kill a new push begins every 50 ms at each survivor, the first
//! that is acknowledged counts: so no client's patience is part of the figure. Beside it, the same of etcd.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::Bench;
use super::etcd::{self, Etcds};
use super::shoal::{Cluster, REPOSITORY};
use super::table::{Row, Target, percentile};
use super::writes::{Manifests, Writer};
use crate::LoadError;
use crate::client::{self, Connection};
use crate::content::{BlobSource, MANIFEST_TYPE};
use crate::workload::fresh_base;
use crate::workload::image_push::{push_image, put_manifest};

/// Between two attempts at one survivor.
const EVERY: Duration = Duration::from_millis(50);
/// Beyond this a kill counts as never healed.
const LIMIT: Duration = Duration::from_secs(60);
/// Writers at each survivor while the leader stops.
const WRITERS: usize = 2;
/// How long they write before the leader is asked to stop, and after it ended.
const AROUND: Duration = Duration::from_millis(500);
/// No put of a few bytes takes longer.
const PUT_LIMIT: Duration = Duration::from_secs(10);

/// A survivor, as clients reach it.
#[derive(Clone)]
enum Survivor {
    Shoal(Arc<client::Target>, Option<Manifests>),
    Etcd(String),
}

impl Survivor {
    /// An image of two blobs that nobody has, or a key.
    async fn push(self, unique: u128) -> Result<(), LoadError> {
        match self {
            Self::Shoal(target, _) => {
                let mut connection = Connection::open(target).await?;
                let manifest =
                    push_image(&mut connection, REPOSITORY, &BlobSource::new(1024), unique, 0).await?;
                let path = format!("/v2/{REPOSITORY}/manifests/k{unique}");
                put_manifest(&mut connection, &path, MANIFEST_TYPE, manifest).await.map(|_| ())
            }
            Self::Etcd(authority) => Writer::key(&authority, 0, 512).await?.write(0).await,
        }
    }

    async fn writer(&self, number: usize) -> Result<Writer, LoadError> {
        match self {
            Self::Shoal(target, Some(manifests)) => Writer::tag(target, number, manifests).await,
            Self::Shoal(_, None) => Err(LoadError::BadReply("manifests")),
            Self::Etcd(authority) => Writer::key(authority, number, 512).await,
        }
    }
}

/// Seconds until the first push is acknowledged, and what failed before.
async fn until_pushed(survivors: Vec<Survivor>) -> f64 {
    let begin = Instant::now();
    let mut attempts = JoinSet::new();
    let mut unique = fresh_base();
    let mut next = begin;
    while begin.elapsed() < LIMIT {
        tokio::select! {
            () = tokio::time::sleep_until(next) => {
                for survivor in &survivors {
                    unique += 1;
                    attempts.spawn(survivor.clone().push(unique));
                }
                next += EVERY;
            }
            Some(done) = attempts.join_next() => {
                if matches!(done, Ok(Ok(()))) {
                    break;
                }
            }
        }
    }
    begin.elapsed().as_secs_f64()
}

/// Writes until told to stop; gives the times of all acknowledgements.
async fn write_on(survivor: Survivor, number: usize, stop: watch::Receiver<bool>) -> Vec<Instant> {
    let mut times = Vec::new();
    let mut writer = None;
    for turn in 0.. {
        if *stop.borrow() {
            break;
        }
        let Some(open) = &mut writer else {
            writer = survivor.writer(number).await.ok();
            continue;
        };
        match timeout(PUT_LIMIT, open.write(turn)).await {
            Ok(Ok(())) => times.push(Instant::now()),
            _ => {
                writer = None;
                sleep(Duration::from_millis(2)).await;
            }
        }
    }
    times
}

/// The longest time in milliseconds without an acknowledgement while `stop` runs.
async fn gap(survivors: &[Survivor], stop: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<f64> {
    let (ended, receiver) = watch::channel(false);
    let mut writers = JoinSet::new();
    for (index, survivor) in survivors.iter().enumerate() {
        for writer in 0..WRITERS {
            writers.spawn(write_on(survivor.clone(), index * WRITERS + writer, receiver.clone()));
        }
    }
    sleep(AROUND).await;
    let begin = Instant::now();
    stop.await?;
    sleep(AROUND).await;
    let end = Instant::now();
    ended.send_replace(true);
    let mut times = writers.join_all().await.concat();
    times.retain(|time| (begin..end).contains(time));
    times.extend([begin, end]);
    times.sort_unstable();
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    Ok(gaps.max().unwrap_or_default().as_secs_f64() * 1e3)
}

/// What was seen of one kind of server.
#[derive(Default)]
struct Seen {
    kills: Vec<f64>,
    stops: Vec<f64>,
}

async fn shoal(bench: &Bench) -> anyhow::Result<Seen> {
    let mut cluster = Cluster::on_loopback(bench, &bench.disk.join("failover"), 3).await?;
    let mut connection = Connection::open(cluster.nodes[0].login().await?).await?;
    let manifests = Manifests::push(&mut connection).await?;
    let mut seen = Seen::default();
    for turn in 0..bench.scale.kills + bench.scale.stops {
        // At another moment of the heartbeats each time.
        sleep(Duration::from_millis(turn * 37 % 200)).await;
        let leader = cluster.leader(0).await?;
        let mut survivors = Vec::new();
        for (index, node) in cluster.nodes.iter().enumerate() {
            if index != leader {
                survivors.push(Survivor::Shoal(node.login().await?, Some(manifests.clone())));
            }
        }
        let process = &mut cluster.nodes[leader].process;
        if turn < bench.scale.kills {
            process.kill();
            seen.kills.push(until_pushed(survivors).await);
        } else {
            seen.stops.push(gap(&survivors, process.stop()).await?);
        }
        process.run()?;
        cluster.wait_until_ready(leader).await?;
        cluster.settle().await?;
    }
    Ok(seen)
}

async fn etcd(bench: &Bench) -> anyhow::Result<Seen> {
    let mut etcds = Etcds::start(&bench.disk.join("failover-etcd")).await?;
    let mut seen = Seen::default();
    for turn in 0..bench.scale.stops * 2 {
        sleep(Duration::from_millis(turn * 37 % 200)).await;
        let leader = etcds.leader().await?;
        let mut survivors = etcds.authorities.clone();
        survivors.remove(leader);
        let survivors: Vec<_> = survivors.into_iter().map(Survivor::Etcd).collect();
        let process = &mut etcds.processes[leader];
        if turn < bench.scale.stops {
            process.kill();
            seen.kills.push(until_pushed(survivors).await);
        } else {
            seen.stops.push(gap(&survivors, process.stop()).await?);
        }
        process.run()?;
    }
    Ok(seen)
}

/// The section.
///
/// # Errors
/// When a server does not come up, or not again.
pub async fn measure(bench: &Bench) -> anyhow::Result<(Vec<Row>, Vec<String>)> {
    let ours = shoal(bench).await?;
    let theirs = if etcd::is_installed() { etcd(bench).await? } else { Seen::default() };
    let mut rows = Vec::new();
    let mut add = |what: String, figure, ours: &[f64], theirs: &[f64], percent, target: Option<f64>| {
        let mut row = Row::new(what, figure, percentile(ours, percent));
        if !theirs.is_empty() {
            row = row.beside("etcd", percentile(theirs, percent));
        }
        rows.push(match target {
            Some(most) => row.target(Target::AtMost(most)),
            None => row,
        });
    };
    let what = format!("leader killed, {} times: until a push succeeds", ours.kills.len());
    add(what.clone(), "p50 s", &ours.kills, &theirs.kills, 50.0, None);
    add(what.clone(), "p99 s", &ours.kills, &theirs.kills, 99.0, Some(2.0));
    add(what, "max s", &ours.kills, &theirs.kills, 100.0, None);
    let what = format!("leader stopped, {} times: gap in writes", ours.stops.len());
    add(what.clone(), "p50 ms", &ours.stops, &theirs.stops, 50.0, None);
    add(what, "max ms", &ours.stops, &theirs.stops, 100.0, Some(200.0));
    let note = format!(
        "Failover: a push is two blobs and a manifest, etcd's a put; etcd killed and stopped {} times each, \
         with its default timeouts. Gap: the longest time in which none of {} writers at the survivors was \
         answered.",
        theirs.kills.len(),
        2 * WRITERS
    );
    Ok((rows, vec![note]))
}
