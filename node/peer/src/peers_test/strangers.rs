//! Keys outside the membership, and connections that are nobody's.

use std::net::TcpStream;
use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::*;

/// Two nodes; `b` does not know `a`.
fn stranger(limits: Limits) -> (Node, Node) {
    let (a, b) = (Node::new(1), Node::with(Settings { limits, ..settings(2) }));
    a.knows(&[&b]);
    for protocol in [Protocol::Raft, Protocol::Metadata, Protocol::Join, Protocol::Copy] {
        b.echoes(protocol);
    }
    b.peers.serve_streams(Protocol::Blob, |_, _| async {});
    (a, b)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_may_ask_to_join_and_nothing_else() {
    let (a, b) = stranger(patient());
    for protocol in [Protocol::Raft, Protocol::Metadata, Protocol::Copy] {
        assert_eq!(a.asks(&b, protocol, b"let me in").await, Err(CallError::Refused), "{protocol:?}");
    }
    assert_eq!(a.asks(&b, Protocol::Join, b"please").await, Ok(b"please".to_vec()));
    let bulk = a.peers.open(&b.address(), Protocol::Blob, Duration::from_secs(5)).await;
    assert!(bulk.is_err(), "{bulk:?}");
    assert!(b.peers.metrics().link(Link::Bulk).peers_refused_total.get() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_members_joins_by_address() {
    let (a, b) = stranger(patient());
    a.knows(&[]);
    assert_eq!(a.asks(&b, Protocol::Join, b"please").await, Ok(b"please".to_vec()));
    assert_eq!(a.asks(&b, Protocol::Raft, b"").await, Err(CallError::NotMember), "only to join");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_with_another_key_is_not_who_was_called() {
    let (a, b) = stranger(patient());
    let c = Node::new(3);
    a.knows(&[&b, &c]);
    let forged = PeerAddress::new(c.peers.key(), b.address().hosts().to_vec()).expect("one place");
    let call = a.peers.call(&forged, Protocol::Join, vec![1], LONG).await;
    assert_eq!(call, Err(CallError::Unreachable));
}

#[tokio::test(flavor = "multi_thread")]
async fn membership_takes_effect_on_standing_connections_both_ways() {
    let (a, b) = stranger(patient());
    assert_eq!(a.asks(&b, Protocol::Raft, b"").await, Err(CallError::Refused));
    b.knows(&[&a]);
    assert_eq!(a.asks(&b, Protocol::Raft, b"in").await, Ok(b"in".to_vec()));
    let mut stream = a.peers.open(&b.address(), Protocol::Blob, LONG).await.expect("opened");
    b.peers.serve(Protocol::Raft, |_, _| std::future::pending());
    let waiting = a.asks(&b, Protocol::Raft, b"");
    let removed = async {
        while b.peers.metrics().protocol(Protocol::Raft).served_total.get() < 2 {
            tokio::task::yield_now().await;
        }
        b.knows(&[]);
    };
    let (cut, ()) = tokio::join!(waiting, removed);
    assert_eq!(cut, Err(CallError::Interrupted), "the connection is closed at once");
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(LONG, stream.read_to_end(&mut rest)).await;
    ended.expect("bulk is closed too").map_or_else(|_| (), |count| assert_eq!(count, 0));
    let refused = || async {
        match a.asks(&b, Protocol::Raft, b"").await {
            Err(CallError::Refused) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => panic!("who was removed is let in"),
        }
    };
    // The connection may still be closing: until then b cannot be reached.
    until_ok("refused", refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_few_and_leave_when_idle() {
    let limits = Limits { strangers: 2, stranger_idle: Duration::from_secs(2), ..patient() };
    let (a, b) = (Node::new(1), Node::with(Settings { limits, ..settings(2) }));
    a.knows(&[&b]);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let opened = gate.clone();
    b.peers.serve(Protocol::Join, move |_, message| {
        let gate = gate.clone();
        async move {
            gate.acquire().await.ok()?.forget();
            Some(message)
        }
    });
    let others: Vec<Node> = (10..13).map(Node::new).collect();
    let guests = async {
        let asked = (a.asks(&b, Protocol::Join, b""), others[0].asks(&b, Protocol::Join, b""));
        let (first, second) = tokio::join!(asked.0, asked.1);
        first.and(second).expect("both are let in");
    };
    let third = async {
        while b.peers.metrics().protocol(Protocol::Join).served_total.get() < 2 {
            tokio::task::yield_now().await;
        }
        let third = others[1].asks(&b, Protocol::Join, b"").await;
        assert!(matches!(third, Err(CallError::Unreachable | CallError::Interrupted)), "{third:?}");
        opened.add_permits(10);
    };
    tokio::join!(guests, third);
    let address = b.address();
    let start = Instant::now();
    until_ok("others left", || others[2].peers.call(&address, Protocol::Join, vec![], LONG)).await;
    assert!(start.elapsed() < Limits::default().stranger_life, "they left before their time was over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_that_stays_busy_is_closed_in_time() {
    let limits = Limits { stranger_life: Duration::from_millis(500), ..patient() };
    let (a, b) = stranger(limits);
    b.peers.serve(Protocol::Join, |_, _| std::future::pending());
    assert_eq!(a.asks(&b, Protocol::Join, b"").await, Err(CallError::Interrupted));
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_from_one_host_do_not_keep_others_out() {
    let limits = Limits { pending_per_host: 4, ..patient() };
    let b = Node::with(Settings { limits, ..settings(2) });
    let a = Node::with(Settings { listen: ([127, 0, 0, 2], 0).into(), ..settings(1) });
    a.knows(&[&b]);
    b.knows(&[&a]);
    b.peers.serve_streams(Protocol::Blob, |_, mut stream| async move {
        let _ = frame::write(&mut stream, b"in").await;
    });
    let connect = || TcpStream::connect(b.peers.local_address()).expect("accepted by the kernel");
    let _silent: Vec<TcpStream> = (0..20).map(|_| connect()).collect();
    let refused = || b.peers.metrics().link(Link::Bulk).peers_refused_total.get();
    while refused() < 16 {
        tokio::task::yield_now().await;
    }
    let mut stream = a.peers.open(&b.address(), Protocol::Blob, LONG).await.expect("from another host");
    assert_eq!(frame::read(&mut stream, 10).await.expect("a frame"), b"in");
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_on_either_port_ends_and_harms_nobody() {
    let (a, b) = (Node::new(1), Node::with(wary(2)));
    a.knows(&[&b]);
    b.knows(&[&a]);
    b.echoes(Protocol::Raft);
    let to = b.peers.local_address();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("bound");
    for length in [0, 1, 100, 1200] {
        udp.send_to(&vec![0xC3; length], to).expect("sent");
    }
    for noise in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 0xFF, 0xFF], &[0; 70_000]] {
        let mut tcp = tokio::net::TcpStream::connect(to).await.expect("connected");
        // It may be closed already while this is sent.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut tcp, noise).await;
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(LONG, tcp.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the connection ends");
    }
    a.asks(&b, Protocol::Raft, b"well").await.expect("answered");
}
