//! What works between members: calls and streams, many at once, in both directions at once.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_answered_in_both_directions() {
    let (a, b) = pair();
    for message in [&b""[..], b"short", &vec![3; 100_000]] {
        assert_eq!(a.asks(&b, Protocol::Raft, message).await.as_deref(), Ok(message));
        assert_eq!(b.asks(&a, Protocol::Metadata, message).await.as_deref(), Ok(message));
    }
    let control = a.peers.metrics().link(Link::Control);
    assert_eq!(control.connections.get(), 1, "both directions share one connection");
    assert!(control.sent_bytes_total.get() >= 200_000 && control.received_bytes_total.get() >= 200_000);
    assert_eq!(a.peers.metrics().protocol(Protocol::Raft).opened_total.get(), 3);
    assert_eq!(a.peers.metrics().protocol(Protocol::Metadata).served_total.get(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handler_learns_who_calls() {
    let (a, b) = pair();
    b.peers.serve(Protocol::Copy, |key, _| async move { Some(key.as_bytes().to_vec()) });
    let told = a.asks(&b, Protocol::Copy, b"").await.expect("answered");
    assert_eq!(&told, a.peers.key().as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_message_passes_and_one_byte_more_does_not() {
    let (a, b) = pair();
    let longest = vec![5; Protocol::Raft.frame_limit()];
    assert_eq!(a.asks(&b, Protocol::Raft, &longest).await.map(|answer| answer.len()), Ok(longest.len()));
    let longer = vec![5; Protocol::Copy.frame_limit() + 1];
    assert_eq!(a.asks(&b, Protocol::Copy, &longer).await, Err(CallError::TooLarge));
    b.peers.serve(Protocol::Copy, move |_, _| {
        let longer = longer.clone();
        async move { Some(longer) }
    });
    assert_eq!(a.asks(&b, Protocol::Copy, b"").await, Err(CallError::TooLarge), "an answer, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_links_have_one_port_number() {
    let node = Node::new(1);
    let address = node.peers.local_address();
    assert_ne!(address.port(), 0);
    assert!(TcpListener::bind(address).is_err() && UdpSocket::bind(address).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_taken_for_either_is_an_error_and_frees_the_other() {
    let taken_udp = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let taken_tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
    for address in [taken_udp.local_addr().expect("bound"), taken_tcp.local_addr().expect("bound")] {
        let (_members, receiver) = watch::channel(Members::default());
        let asked = Settings { listen: address, ..settings(1) };
        match Peers::start(asked, receiver) {
            Err(StartError::Listen { address: told, .. }) => assert_eq!(told, address),
            other => panic!("{other:?}"),
        }
    }
    let udp: SocketAddr = taken_udp.local_addr().expect("bound");
    assert!(TcpListener::bind(udp).is_ok(), "TCP was let go again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_calls_at_once_are_all_answered() {
    let (a, b) = pair();
    let mut calls = JoinSet::new();
    for number in 0..1000_u32 {
        let (peers, to) = (a.peers.clone(), b.address());
        calls.spawn(async move {
            let message = number.to_be_bytes().to_vec();
            (message.clone(), peers.call(&to, Protocol::Metadata, message, LONG).await)
        });
    }
    while let Some(call) = calls.join_next().await {
        let (message, answer) = call.expect("no panic");
        assert_eq!(answer, Ok(message));
    }
    assert_eq!(b.peers.metrics().protocol(Protocol::Metadata).refused_total.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_dial_each_other_at_once_reach_each_other() {
    for _ in 0..10 {
        let (a, b) = pair();
        for node in [&a, &b] {
            node.peers.serve_streams(Protocol::Blob, echo_stream);
        }
        for _ in 0..3 {
            let (there, back) =
                tokio::join!(a.asks(&b, Protocol::Raft, b"there"), b.asks(&a, Protocol::Raft, b"back"));
            assert_eq!((there.as_deref(), back.as_deref()), (Ok(&b"there"[..]), Ok(&b"back"[..])));
            let (to_b, to_a) = (b.address(), a.address());
            let (there, back) = tokio::join!(
                a.peers.open(&to_b, Protocol::Blob, LONG),
                b.peers.open(&to_a, Protocol::Blob, LONG)
            );
            sends_and_gets(there.expect("opened"), 1000).await;
            sends_and_gets(back.expect("opened"), 1000).await;
        }
    }
}

async fn echo_stream(_: PeerKey, stream: ByteStream) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let _ = tokio::io::copy(&mut reader, &mut writer).await;
    let _ = writer.shutdown().await;
}

async fn sends_and_gets(stream: ByteStream, length: usize) {
    let sent: Vec<u8> = (0..length).map(|byte| (byte % 251) as u8).collect();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut got = Vec::new();
    let send = async {
        writer.write_all(&sent).await.expect("sent");
        writer.shutdown().await.expect("ended");
    };
    let (_, read) = tokio::join!(send, reader.read_to_end(&mut got));
    read.expect("read");
    assert!(got == sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_carries_bytes_both_ways_and_ends() {
    let (a, b) = pair();
    b.peers.serve_streams(Protocol::Blob, echo_stream);
    for _ in 0..3 {
        let stream = a.peers.open(&b.address(), Protocol::Blob, LONG).await.expect("opened");
        sends_and_gets(stream, 4 << 20).await;
    }
    assert_eq!(a.peers.metrics().link(Link::Bulk).connections.get(), 1);
    assert!(b.peers.metrics().link(Link::Bulk).received_bytes_total.get() >= 12 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answerer_of_a_stream_may_speak_first() {
    let (a, b) = pair();
    b.peers.serve_streams(Protocol::Upload, |_, mut stream| async move {
        let _ = frame::write(&mut stream, b"welcome").await;
    });
    let mut stream = a.peers.open(&b.address(), Protocol::Upload, LONG).await.expect("opened");
    assert_eq!(frame::read(&mut stream, 100).await.expect("a frame"), b"welcome");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_resolved() {
    let (a, b) = pair();
    let place = format!("localhost:{}", b.peers.local_address().port()).parse().expect("a place");
    let named = PeerAddress::new(b.peers.key(), vec![place]).expect("one place");
    assert_eq!(a.peers.call(&named, Protocol::Raft, vec![1], LONG).await, Ok(vec![1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_place_the_peers_own_connection_is_used() {
    let (a, b) = pair();
    let nowhere = PeerAddress::new(b.peers.key(), Vec::new()).expect("no place");
    let unreached = a.peers.call(&nowhere, Protocol::Raft, vec![1], LONG).await;
    assert_eq!(unreached, Err(CallError::Unreachable));
    b.asks(&a, Protocol::Raft, b"it dials").await.expect("answered");
    assert_eq!(a.peers.call(&nowhere, Protocol::Raft, vec![1], LONG).await, Ok(vec![1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_found_is_called_wherever_it_was_thought_to_be() {
    let (a, b) = pair();
    let moved = PeerAddress::new(b.peers.key(), vec!["127.0.0.1:9".parse().expect("a place")]);
    let moved = moved.expect("one place");
    let call = a.peers.call(&moved, Protocol::Raft, vec![1], Duration::from_secs(5)).await;
    assert_eq!(call, Err(CallError::Unreachable));
    assert!(!a.peers.is_connected(&b.peers.key()));
    // Nobody is at the first place.
    let places = ["127.0.0.1:9".parse().expect("a place"), b.address().hosts()[0].clone()];
    until_ok("it is called", || async {
        a.peers.find(&places).await;
        a.peers.call(&moved, Protocol::Raft, vec![1], LONG).await
    })
    .await;
    // And calls back over the same connection.
    let back = PeerAddress::new(a.peers.key(), vec!["127.0.0.1:9".parse().expect("a place")]);
    let back = back.expect("one place");
    until_ok("the way back", || b.peers.call(&back, Protocol::Raft, vec![2], LONG)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_that_was_found_is_not_called() {
    let (a, b) = pair();
    let stranger = Node::new(3);
    stranger.echoes(Protocol::Raft);
    a.peers.find(stranger.address().hosts()).await;
    until_ok("the stranger is there", || async {
        let found = a.peers.is_connected(&stranger.peers.key());
        if found { Ok(()) } else { Err(CallError::Unreachable) }
    })
    .await;
    assert_eq!(a.asks(&stranger, Protocol::Raft, b"").await, Err(CallError::NotMember));
    assert_eq!(stranger.asks(&a, Protocol::Raft, b"").await, Err(CallError::NotMember));
    drop(b);
}

/// Carries datagrams to `target` and back, but nothing of the connection that is dialled first.
async fn without_the_first_connection(target: SocketAddr) -> SocketAddr {
    let here = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let there = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    there.connect(target).await.expect("connected");
    let address = here.local_addr().expect("bound");
    tokio::spawn(async move {
        let (mut request, mut reply) = ([0; 2048], [0; 2048]);
        let (mut first, mut dialler) = (None, address);
        loop {
            tokio::select! {
                Ok((length, from)) = here.recv_from(&mut request) => {
                    dialler = from;
                    // Where it goes (RFC 9000 §17.2); the others of this test have other ids.
                    let id = request[5..14].to_vec();
                    if *first.get_or_insert_with(|| id.clone()) != id {
                        let _ = there.send(&request[..length]).await;
                    }
                }
                Ok(length) = there.recv(&mut reply) => drop(here.send_to(&reply[..length], dialler).await),
                else => return,
            }
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dial_whose_packets_are_lost_is_begun_anew_before_it_fails() {
    let (a, b) = pair();
    let relay = without_the_first_connection(b.peers.local_address()).await;
    let place = relay.to_string().parse().expect("a place");
    let address = PeerAddress::new(b.peers.key(), vec![place]).expect("one place");
    let answer = a.peers.call(&address, Protocol::Raft, b"first".to_vec(), LONG).await;
    assert_eq!(answer.as_deref(), Ok(&b"first"[..]), "no call fails");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_for_its_answer_is_followed_by_pings() {
    let (a, b) = pair();
    let (asked, answered) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let (told, wait) = (asked.clone(), answered.clone());
    b.peers.serve(Protocol::Raft, move |_, _| {
        let (told, wait) = (told.clone(), wait.clone());
        async move {
            told.notify_one();
            wait.notified().await;
            Some(Vec::new())
        }
    });
    let call = a.asks(&b, Protocol::Raft, b"");
    let pinged = async {
        asked.notified().await;
        until_ok("a ping", || async {
            match b.peers.metrics().protocol(Protocol::Ping).served_total.get() {
                0 => Err(CallError::TimedOut),
                _ => Ok(()),
            }
        })
        .await;
        answered.notify_one();
    };
    let (answer, ()) = tokio::join!(call, pinged);
    assert_eq!(answer, Ok(Vec::new()));
}
