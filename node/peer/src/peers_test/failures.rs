//! What goes wrong, and that it goes wrong for whoever it concerns only, and in time.

use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use super::*;
use crate::frame::Refusal;
use crate::lanes::Lanes;

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_never_answers_costs_its_callers_only() {
    let (a, b) = pair();
    a.asks(&b, Protocol::Raft, b"connected").await.expect("answered");
    b.peers.serve(Protocol::Raft, |_, _| std::future::pending());
    let mut stuck = JoinSet::new();
    for _ in 0..Protocol::Raft.at_once() {
        let (peers, to) = (a.peers.clone(), b.address());
        stuck.spawn(async move { peers.call(&to, Protocol::Raft, vec![1], SHORT).await });
    }
    for number in 0..50 {
        assert_eq!(a.asks(&b, Protocol::Metadata, &[number]).await, Ok(vec![number]));
    }
    while let Some(call) = stuck.join_next().await {
        assert_eq!(call.expect("no panic"), Err(CallError::TimedOut));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_unanswered_calls_are_refused_there_and_too_many_waiting_here() {
    let (a, b) = (
        Node::with(Settings { limits: Limits { calls_waiting: 0, ..patient() }, ..settings(1) }),
        Node::new(2),
    );
    a.knows(&[&b]);
    b.knows(&[&a]);
    b.echoes(Protocol::Raft);
    a.asks(&b, Protocol::Raft, b"connected").await.expect("answered");
    b.peers.serve(Protocol::Copy, |_, _| std::future::pending());
    let at_once = Protocol::Copy.at_once();
    let wave = |count: usize| {
        let mut calls = JoinSet::new();
        for _ in 0..count {
            let (peers, to) = (a.peers.clone(), b.address());
            calls.spawn(async move { peers.call(&to, Protocol::Copy, vec![1], SHORT * 3).await });
        }
        calls.join_all()
    };
    let ends = wave(at_once + 10).await;
    assert_eq!(ends.iter().filter(|end| **end == Err(CallError::Overloaded)).count(), 10, "here");
    assert_eq!(ends.iter().filter(|end| **end == Err(CallError::TimedOut)).count(), at_once);
    wave(at_once).await;
    let ends = wave(at_once).await;
    assert!(ends.iter().all(|end| *end == Err(CallError::Overloaded)), "there: {ends:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protocol_that_is_not_served_is_told_from_a_refusal() {
    let (a, b) = (Node::new(1), Node::new(2));
    a.knows(&[&b]);
    b.knows(&[&a]);
    assert_eq!(a.asks(&b, Protocol::Raft, b"").await, Err(CallError::Unsupported));
    let stream = a.peers.open(&b.address(), Protocol::Blob, LONG).await;
    assert_eq!(stream.err(), Some(CallError::Unsupported));
    b.peers.serve(Protocol::Raft, |_, _| async { None });
    assert_eq!(a.asks(&b, Protocol::Raft, b"").await, Err(CallError::Refused));
    b.echoes(Protocol::Raft);
    assert_eq!(a.asks(&b, Protocol::Raft, b"now").await, Ok(b"now".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announced_length_over_the_limit_is_refused_before_its_bytes() {
    use tokio::io::AsyncWriteExt;
    use tokio_util::compat::FuturesAsyncReadCompatExt;

    let (a, b) = pair();
    let stream = a.peers.0.control.open(&b.address(), Protocol::Raft).await.expect("a stream");
    let mut stream = stream.compat();
    let announced = Protocol::Raft.frame_limit() as u32 + 1;
    stream.write_all(&announced.to_be_bytes()).await.expect("sent");
    stream.flush().await.expect("sent");
    let told = frame::read(&mut stream, 100).await;
    assert!(matches!(told, Err(FrameError::Refused(Refusal::TooLarge))), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_an_address_is_unreachable_in_time() {
    let (a, b) = (Node::with(wary(1)), Node::new(2));
    a.knows(&[&b]);
    let gone = b.address();
    b.peers.shutdown(Duration::ZERO).await;
    let start = Instant::now();
    assert_eq!(a.peers.call(&gone, Protocol::Raft, vec![], LONG).await, Err(CallError::Unreachable));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let us = a.address();
    a.knows(&[&a]);
    assert_eq!(
        a.peers.call(&us, Protocol::Raft, vec![], LONG).await,
        Err(CallError::Unreachable),
        "ourselves"
    );
}

/// A node in a runtime of its own, which can be stopped like a process.
struct Process {
    runtime: Option<Runtime>,
    address: PeerAddress,
    _members: watch::Sender<Members>,
}

impl Process {
    fn start(settings: Settings, members: &Members) -> Result<Self, StartError> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let (sender, receiver) = watch::channel(members.clone());
        let peers = runtime.block_on(async { Peers::start(settings, receiver) })?;
        peers.serve(Protocol::Raft, |_, message| async move { Some(message) });
        peers.serve(Protocol::Metadata, |_, _| std::future::pending());
        let address = address_of(&peers);
        // Lives until the runtime is gone.
        runtime.spawn(async move {
            let _kept = peers;
            std::future::pending::<()>().await;
        });
        Ok(Self { runtime: Some(runtime), address, _members: sender })
    }

    /// Nothing of it runs any more when this returns; nobody is told.
    async fn kill(mut self) {
        let runtime = self.runtime.take().expect("it runs");
        let end = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(LONG));
        end.await.expect("ended");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Starts a process outside of this runtime.
fn process(settings: Settings, members: Members) -> Process {
    let start = move || {
        let begin = std::time::Instant::now();
        loop {
            match Process::start(settings.clone(), &members) {
                Ok(process) => return process,
                // The port of a killed one is free a moment later.
                Err(error) if begin.elapsed() > LONG => panic!("{error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    };
    std::thread::spawn(start).join().expect("started")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_was_killed_and_came_back_is_reached_again() {
    let a = Node::with(wary(1));
    let us: Members = [a.peers.key()].into_iter().collect();
    let mut b = process(wary(2), us.clone());
    a.members.send_replace([b.address.key()].into_iter().collect());
    for _ in 0..3 {
        until_ok("first", || a.peers.call(&b.address, Protocol::Raft, vec![1], LONG)).await;
        let address = b.address.clone();
        let listen = format!("127.0.0.1:{}", address.hosts()[0].port()).parse().expect("an address");
        b.kill().await;
        let failed = a.peers.call(&address, Protocol::Raft, vec![2], SHORT).await;
        assert!(failed.is_err(), "{failed:?}");
        b = process(Settings { listen, ..wary(2) }, us.clone());
        let start = Instant::now();
        until_ok("again", || a.peers.call(&address, Protocol::Raft, vec![3], SHORT)).await;
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_falls_silent_is_noticed_and_reached_again_when_it_wakes() {
    let a = Node::with(wary(1));
    let b = process(wary(2), [a.peers.key()].into_iter().collect());
    a.members.send_replace([b.address.key()].into_iter().collect());
    until_ok("first", || a.peers.call(&b.address, Protocol::Raft, vec![1], LONG)).await;
    // Its one worker thread sleeps, as a process that is stopped.
    let (wake, asleep) = mpsc::channel::<()>();
    let waiting = a.peers.call(&b.address, Protocol::Metadata, vec![1], LONG);
    b.runtime.as_ref().expect("it runs").spawn(async move {
        let _ = asleep.recv();
    });
    let start = Instant::now();
    assert_eq!(waiting.await, Err(CallError::Interrupted));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    drop(wake);
    until_ok("awake", || a.peers.call(&b.address, Protocol::Raft, vec![1], LONG)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_lets_calls_finish_and_takes_no_more() {
    let (a, b) = pair();
    let (begun, mut begins) = tokio::sync::mpsc::channel(1);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let opened = gate.clone();
    b.peers.serve(Protocol::Copy, move |_, message| {
        let (gate, begun) = (gate.clone(), begun.clone());
        async move {
            begun.send(()).await.ok()?;
            gate.acquire().await.ok()?.forget();
            Some(message)
        }
    });
    let under_way = a.asks(&b, Protocol::Copy, b"kept");
    let stopping = async {
        begins.recv().await.expect("it begins");
        tokio::join!(b.peers.shutdown(LONG), async {
            until_refused(&a, &b).await;
            opened.add_permits(1);
        });
    };
    let (answer, ()) = tokio::join!(under_way, stopping);
    assert_eq!(answer, Ok(b"kept".to_vec()));
    assert_eq!(b.asks(&a, Protocol::Raft, b"").await, Err(CallError::Stopped));
    b.peers.shutdown(LONG).await;
}

async fn until_refused(a: &Node, b: &Node) {
    while a.asks(b, Protocol::Raft, b"").await != Err(CallError::Stopped) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_ends_handlers_that_do_not_end_and_frees_the_port() {
    let (a, b) = pair();
    b.peers.serve(Protocol::Copy, |_, _| std::future::pending());
    let to = b.address();
    let hanging = a.peers.call(&to, Protocol::Copy, vec![], LONG);
    let stop = async {
        while b.peers.metrics().protocol(Protocol::Copy).served_total.get() == 0 {
            tokio::task::yield_now().await;
        }
        b.peers.shutdown(Duration::from_millis(50)).await;
    };
    let (cut, ()) = tokio::join!(hanging, stop);
    assert_eq!(cut, Err(CallError::Interrupted));
    let listen = b.peers.local_address();
    let again = async {
        loop {
            let (_members, receiver) = watch::channel(Members::default());
            if Peers::start(Settings { listen, ..settings(2) }, receiver).is_ok() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, again).await.expect("the port is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_last_handle_stops_everything() {
    let (a, b) = pair();
    a.asks(&b, Protocol::Raft, b"").await.expect("answered");
    let tasks = b.peers.0.shared.tasks.clone();
    tasks.close();
    drop(b);
    tokio::time::timeout(LONG, tasks.wait()).await.expect("all tasks end");
}

#[test]
fn lanes_are_sized_for_their_protocol() {
    let lanes = Lanes::new(7).of(PeerKey::new([1; 32]), &Members::default());
    for protocol in Protocol::ALL {
        let lane = lanes.of(protocol);
        assert_eq!(lane.outgoing.available_permits(), protocol.at_once());
        assert_eq!(lane.incoming.available_permits(), 2 * protocol.at_once());
        assert_eq!(lane.waiting.available_permits(), 7);
    }
}
