//! Rates and delays of the transport, two nodes in one process, each with a runtime of its own:
//! `cargo bench -p peer`. `SHOAL_BENCH_MIB` says how much is sent over bulk, 256 MiB if absent.
//!
//! Beside each figure of the bulk link stands plain TCP's in the same run, and processor seconds of both
//! sides; delays of calls are taken on an idle machine and while bulk streams take all they can.

#![allow(clippy::print_stdout, reason = "the figures are its result")]
#![allow(clippy::expect_used, reason = "a benchmark that cannot run ends")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use peer::{HostPort, Limits, Members, PeerAddress, Peers, Protocol, Settings};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;

const MIB: usize = 1 << 20;
const BUFFER: usize = 256 * 1024;
const LONG: Duration = Duration::from_secs(120);

struct Node {
    runtime: Runtime,
    peers: Peers,
    members: watch::Sender<Members>,
}

fn node(seed: u8) -> Node {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (members, receiver) = watch::channel(Members::default());
    let settings =
        Settings { seed: [seed; 32], listen: ([127, 0, 0, 1], 0).into(), limits: Limits::default() };
    let peers = runtime.block_on(async { Peers::start(settings, receiver) }).expect("started");
    Node { runtime, peers, members }
}

fn address(node: &Node) -> PeerAddress {
    let place: HostPort = node.peers.local_address().to_string().parse().expect("a place");
    PeerAddress::new(node.peers.key(), vec![place]).expect("one place")
}

fn main() {
    // As the node does at its start.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(8 << 20)));
    let (a, b) = (node(1), node(2));
    a.members.send_replace([b.peers.key()].into_iter().collect());
    b.members.send_replace([a.peers.key()].into_iter().collect());
    for protocol in [Protocol::Raft, Protocol::Metadata] {
        b.peers.serve(protocol, |_, message| async move { Some(message) });
    }
    b.peers.serve_streams(Protocol::Blob, |_, stream| async move {
        drain(stream).await;
    });
    let mib = std::env::var("SHOAL_BENCH_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(256);

    println!("calls, one after the other (Raft):");
    for size in [100, 64 * 1024] {
        let delays = a.runtime.block_on(delays(&a.peers, &address(&b), size, Duration::from_secs(2)));
        println!("  {size:>6} B  idle              {}", summary(delays));
    }
    for at_once in [16, 256] {
        let rate = a.runtime.block_on(rate(&a.peers, &address(&b), at_once, 10_000));
        println!("calls, {at_once:>3} at once (Metadata, 100 B): {rate:.0}/s");
    }
    plain_tcp(&a, &b, mib);
    for streams in [1, 4] {
        let (start, cpu) = (Instant::now(), processor_seconds());
        a.runtime.block_on(send(&a.peers, &address(&b), streams, mib));
        report(&format!("bulk, {streams} stream(s)"), mib, start.elapsed(), processor_seconds() - cpu);
    }
    under_load(&a, &b);
}

/// Delays of calls while four bulk streams run.
fn under_load(a: &Node, b: &Node) {
    let to = address(b);
    let stop = Arc::new(tokio::sync::Notify::new());
    let sending = {
        let (peers, to, stop) = (a.peers.clone(), to.clone(), stop.clone());
        a.runtime.spawn(async move {
            tokio::select! {
                () = stop.notified() => {}
                () = async { loop { send(&peers, &to, 4, 1024).await } } => {}
            }
        })
    };
    println!("calls, one after the other (Raft), beside 4 bulk streams:");
    for size in [100, 64 * 1024] {
        let delays = a.runtime.block_on(delays(&a.peers, &to, size, Duration::from_secs(3)));
        println!("  {size:>6} B  saturated         {}", summary(delays));
    }
    stop.notify_one();
    let _ = a.runtime.block_on(sending);
}

async fn delays(peers: &Peers, to: &PeerAddress, size: usize, time: Duration) -> Vec<Duration> {
    let (start, mut delays) = (Instant::now(), Vec::new());
    while start.elapsed() < time {
        let begin = Instant::now();
        peers.call(to, Protocol::Raft, vec![1; size], LONG).await.expect("answered");
        delays.push(begin.elapsed());
    }
    delays
}

async fn rate(peers: &Peers, to: &PeerAddress, at_once: usize, calls: usize) -> f64 {
    let (start, mut tasks) = (Instant::now(), JoinSet::new());
    for _ in 0..at_once {
        let (peers, to) = (peers.clone(), to.clone());
        tasks.spawn(async move {
            for _ in 0..calls / at_once {
                peers.call(&to, Protocol::Metadata, vec![1; 100], LONG).await.expect("answered");
            }
        });
    }
    tasks.join_all().await;
    calls as f64 / start.elapsed().as_secs_f64()
}

async fn send(peers: &Peers, to: &PeerAddress, streams: usize, mib: usize) {
    let mut tasks = JoinSet::new();
    for _ in 0..streams {
        let (peers, to) = (peers.clone(), to.clone());
        tasks.spawn(async move {
            let stream = peers.open(&to, Protocol::Blob, LONG).await.expect("opened");
            fill(stream, mib / streams).await;
        });
    }
    tasks.join_all().await;
}

/// Sends, ends, and waits for the other side's end.
async fn fill(mut stream: impl AsyncRead + AsyncWrite + Unpin, mib: usize) {
    let buffer = vec![7; BUFFER];
    for _ in 0..mib * MIB / BUFFER {
        stream.write_all(&buffer).await.expect("sent");
    }
    stream.shutdown().await.expect("ended");
    assert_eq!(stream.read_u8().await.expect("told"), 1);
}

async fn drain(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        std::hint::black_box(count);
    }
    let _ = stream.write_u8(1).await;
    let _ = stream.shutdown().await;
}

fn plain_tcp(a: &Node, b: &Node, mib: usize) {
    let listener = b.runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("bound");
    let to = listener.local_addr().expect("bound");
    let server = b.runtime.spawn(async move {
        let (stream, _) = listener.accept().await.expect("accepted");
        drain(stream).await;
    });
    let (start, cpu) = (Instant::now(), processor_seconds());
    a.runtime.block_on(async {
        fill(tokio::net::TcpStream::connect(to).await.expect("connected"), mib).await;
    });
    report("plain TCP", mib, start.elapsed(), processor_seconds() - cpu);
    b.runtime.block_on(server).expect("served");
}

fn report(what: &str, mib: usize, took: Duration, cpu: f64) {
    let gib = mib as f64 / 1024.0;
    println!("{what:<18} {mib} MiB: {:.2} GiB/s, {:.2} CPU s per GiB", gib / took.as_secs_f64(), cpu / gib);
}

fn summary(mut delays: Vec<Duration>) -> String {
    delays.sort();
    let at = |part: f64| delays[((delays.len() - 1) as f64 * part) as usize];
    format!("n {:>6}  p50 {:>9.1?}  p99 {:>9.1?}  max {:>9.1?}", delays.len(), at(0.5), at(0.99), at(1.0))
}

/// User and system time of this process (proc(5), /proc/self/stat), at 100 ticks a second.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = text.rsplit(')').next().unwrap_or_default();
    let ticks = after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}
