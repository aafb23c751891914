//! The port for peers against strangers: XC2, XC6, XC14, XC15, XC17 to XC19, and XH6 and XH5 there.
//!
//! Whatever comes, nothing is answered but refusals, everything ends soon, the log tells of it in few lines, and the
//! node goes on serving.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use peer::{CallError, PeerAddress, Protocol};
use prost::Message as _;
use proto::join::JoinToken;
use proto::wire::peer::{JoinReply, join_reply::Outcome};
use socket2::{Domain, Socket, Type};
use tests::Server;
use tests::content::unique_bytes;
use tests::raw_stream::{self, Connection};
use tests::rogue::{self, Rogue};
use tests::wait_until;

use crate::own_server;

/// What anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn socket_of(address: &PeerAddress) -> SocketAddr {
    let host = &address.hosts()[0];
    SocketAddr::new(host.ip().expect("an address, no name"), host.port())
}

fn figure(node: &Server, name: &str) -> u64 {
    let metrics = String::from_utf8_lossy(&node.root().get("/metrics").send().body).into_owned();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).expect("a figure")
}

/// A connection from an address of this machine that no node has.
fn connect(to: SocketAddr, from: u8) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 9, from), 0)).into()).expect("bound");
    socket.connect(&to.into()).expect("accepted by the kernel");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// What the node says until it closes the connection.
///
/// # Panics
/// When it does not close it in time.
fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Err(error) if tests::raw::is_timeout(&error) => panic!("still open"),
        // Reset is closed, too.
        _ => said,
    }
}

/// The node is what it was before: nothing of what strangers did is left, and it tells of it in a few lines.
fn assert_unharmed(node: &Server, memory_before: u64) {
    node.root().assert_serves();
    for figure_of in ["shoal_peer_control_connections", "shoal_peer_bulk_connections"] {
        wait_until("all connections to be gone", PATIENCE, || figure(node, figure_of) == 0);
    }
    let memory = node.usage().memory;
    assert!(memory < memory_before + (64 << 20), "{memory} bytes, {memory_before} before");
    let log = node.log();
    assert!(!log.contains("panicked"), "{log}");
    let told =
        log.lines().filter(|line| line.contains("peers") || line.contains("node not taken in")).count();
    assert!((1..100).contains(&told), "{told} lines tell of it");
}

#[test]
fn noise_is_dropped_counted_and_told_once() {
    // XC2, XH6
    let node = own_server();
    let (to, memory) = (socket_of(&rogue::address(&node)), node.usage().memory);
    let hello = [&[0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3][..], &[7; 194]].concat();
    let noises = [
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        b"\x13/multistream/1.0.0\n\x07/noise\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        hello,
        vec![0x16, 3, 1, 0xFF, 0xFF],
        unique_bytes(1 << 20),
        vec![0; 1 << 20],
    ];
    let count = noises.len() * 5;
    for noise in noises.iter().cycle().take(count) {
        let mut stream = connect(to, 1);
        // It may be closed before all of it is sent.
        let _ = stream.write_all(noise);
        let said = until_closed(&mut stream);
        assert!(said.len() <= 64, "{} bytes are said to noise", said.len());
    }
    assert!(figure(&node, "shoal_peer_handshakes_failed_total") >= count as u64);
    assert!(node.log().contains("handshakes of peers failed"));
    assert_unharmed(&node, memory);
    let lines = node.log().lines().filter(|line| line.contains("handshakes of peers failed")).count();
    assert!(lines < count / 2, "{lines} lines for {count} handshakes");
}

#[test]
fn datagrams_of_nobody_are_answered_with_little_or_nothing() {
    // XC2, XC15: at most three times what was sent before an address is known to be the sender's
    let node = own_server();
    let (to, memory) = (socket_of(&rogue::address(&node)), node.usage().memory);
    let socket = UdpSocket::bind("127.0.9.2:0").expect("bound");
    socket.set_nonblocking(true).expect("set");
    let (mut sent, mut received, mut buffer) = (0, 0, [0; 2048]);
    let mut hear = || {
        let mut heard = 0;
        while let Ok(length) = socket.recv(&mut buffer) {
            heard += length;
        }
        heard
    };
    for number in 0..3000_usize {
        let mut datagram = unique_bytes(match number % 4 {
            0 => 1 + number % 100,
            _ => 1200,
        });
        // Long headers: of QUIC 1, of a version that does not exist, and of version negotiation.
        if let Some(head) = datagram.first_chunk_mut::<6>().filter(|_| number % 4 > 0) {
            let version = [0, 1, 0x0A0A_0A0A, 0][number % 4];
            let [a, b, c, d] = u32::to_be_bytes(version);
            *head = [0xC3, a, b, c, d, 8];
        }
        sent += socket.send_to(&datagram, to).unwrap_or(0);
        received += hear();
    }
    thread::sleep(Duration::from_millis(500));
    received += hear();
    assert!(sent > 1 << 20 && received <= 3 * sent, "{received} bytes came for {sent}");
    node.root().assert_serves();
    let after = node.usage().memory;
    assert!(after < memory + (64 << 20), "{after} bytes, {memory} before");
}

#[test]
fn who_is_silent_or_dribbles_is_cut_and_keeps_nobody_out() {
    // XH5 on this port
    let node = own_server();
    let address = rogue::address(&node);
    let (to, memory) = (socket_of(&address), node.usage().memory);
    let mut silent: Vec<TcpStream> = (0..200).map(|_| connect(to, 3)).collect();
    let began = Instant::now();
    let dribblers: Vec<_> = (0..10)
        .map(|_| {
            let mut stream = connect(to, 4);
            thread::spawn(move || {
                // The head of a TLS record, and then a byte of it now and then.
                let sent = [0x16, 3, 1, 2, 0].iter().chain(&[1; 600]).take_while(|byte| {
                    thread::sleep(Duration::from_millis(100));
                    stream.write_all(&[**byte]).is_ok()
                });
                sent.count()
            })
        })
        .collect();
    // Another host gets in meanwhile.
    let guest = Rogue::new();
    let token = rogue::token(&node, &[]);
    let mut request = guest.join_request(&token, "b");
    request.secret = vec![0; 32];
    assert!(matches!(guest.ask_to_join(&token, &request), Outcome::Refused(_)));
    for stream in &mut silent {
        assert_eq!(until_closed(stream), b"");
    }
    for dribbler in dribblers {
        let sent = dribbler.join().expect("no panic");
        assert!(sent < 600, "it was let dribble to its end");
    }
    println!("    strangers: 200 silent and 10 dribbling connections cut after {:?}", began.elapsed());
    drop(guest);
    assert!(figure(&node, "shoal_peer_refused_total") > 0, "more than one host may have are refused at once");
    assert_unharmed(&node, memory);
}

#[test]
fn a_stranger_gets_refusals_and_nothing_else() {
    // XC2
    let node = own_server();
    let (address, memory) = (rogue::address(&node), node.usage().memory);
    let stranger = Rogue::new();
    stranger.knows([address.key()]);
    for protocol in [Protocol::Raft, Protocol::Metadata, Protocol::Copy] {
        for message in [Vec::new(), unique_bytes(1000), vec![0xFF; 1 << 20]] {
            assert_eq!(stranger.call(&address, protocol, message), Err(CallError::Refused), "{protocol:?}");
        }
    }
    for protocol in [Protocol::Blob, Protocol::Upload, Protocol::Ahead] {
        let opened = stranger.open(&address, protocol);
        assert!(opened.is_err(), "{protocol:?}: {opened:?}");
    }
    let log = node.log();
    let told = log.lines().find(|line| line.contains("requests of peers were refused")).expect("a line");
    assert!(told.contains(&stranger.peers().key().to_string()), "{told}");
    assert!(log.lines().any(|line| line.contains("peers were not let in") && line.contains("not a member")));
    assert!(figure(&node, "shoal_peer_requests_refused_total") >= 9);
    assert!(figure(&node, "shoal_peer_refused_total") >= 3);
    drop(stranger);
    assert_unharmed(&node, memory);
}

fn refusal(outcome: Outcome) -> String {
    match outcome {
        Outcome::Refused(refused) => refused.reason,
        Outcome::Taken(taken) => panic!("it was let in: {taken:?}"),
    }
}

#[test]
fn a_token_lets_in_one_key_once_in_its_time_in_its_cluster() {
    // XC6; and a captured request is worth nothing to whoever captured it
    let node = own_server();
    let (first, thief) = (Rogue::new(), Rogue::new());
    let token = rogue::token(&node, &["--edge"]);
    let request = first.join_request(&token, "b");
    let wrong = |change: &dyn Fn(&mut JoinToken)| {
        let mut altered = token.clone();
        change(&mut altered);
        refusal(thief.ask_to_join(&token, &thief.join_request(&altered, "b")))
    };
    assert_eq!(wrong(&|token| token.cluster_id[0] ^= 1), "the token is of another cluster");
    // Not told apart: which of them is not right.
    assert_eq!(wrong(&|token| token.token_id[0] ^= 1), "there is no such token");
    assert_eq!(wrong(&|token| token.secret[31] ^= 1), "there is no such token");
    assert!(matches!(first.ask_to_join(&token, &request), Outcome::Taken(_)));
    // The same key may ask again: the answer may have been lost.
    assert!(matches!(first.ask_to_join(&token, &request), Outcome::Taken(_)));
    let said = refusal(thief.ask_to_join(&token, &request));
    assert!(said.contains("another node has joined with this token"), "{said}");
    let revoked = rogue::token(&node, &[]);
    let id = u128::from_be_bytes(revoked.token_id);
    assert!(tests::cluster::operate(&node, &["token", "revoke", &format!("{id:032x}")]).status.success());
    let said = refusal(thief.ask_to_join(&revoked, &thief.join_request(&revoked, "b")));
    assert_eq!(said, "there is no such token");
    for line in node.log().lines().filter(|line| line.contains("node not taken in")) {
        assert!(line.contains(&thief.peers().key().to_string()), "{line}");
    }
    assert_eq!(node.log().matches("node not taken in").count(), 5);
    let listed = tests::cluster::operate(&node, &["node", "list", "--output", "json"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(!listed.contains(&thief.node().to_string()), "{listed}");
    node.root().assert_serves();
}

#[test]
fn requests_to_join_that_make_no_sense_are_refused() {
    // XC9, XC18, XC19
    let node = own_server();
    let (stranger, token) = (Rogue::new(), rogue::token(&node, &["--edge"]));
    let good = stranger.join_request(&token, "b");
    let asked = |change: &dyn Fn(&mut proto::wire::peer::JoinRequest)| {
        let mut request = good.clone();
        change(&mut request);
        refusal(stranger.ask_to_join(&token, &request))
    };
    for version in [0, 2, u32::MAX] {
        let said = asked(&|request| request.version = version);
        assert_eq!(said, format!("this node knows version 1 of joining, not {version}"));
    }
    assert_eq!(asked(&|request| request.zone = "../a".into()), "the request makes no sense");
    assert_eq!(asked(&|request| request.region = "A\u{1b}[31m".into()), "the request makes no sense");
    assert_eq!(asked(&|request| request.secret = vec![1; 31]), "the request makes no sense");
    assert_eq!(asked(&|request| request.token_id = vec![1; 17]), "the request makes no sense");
    assert_eq!(asked(&|request| request.hosts = vec!["a b:1".into()]), "the request makes no sense");
    let crowd: Vec<String> = (0..500).map(|port| format!("127.0.0.1:{}", port + 1)).collect();
    assert_eq!(asked(&|request| request.hosts = crowd.clone()), "the request makes no sense");
    // Groups in groups, 100,000 deep; a field that is longer than the message; not a message at all.
    for bytes in [vec![0x0B; 15_000], vec![0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F], unique_bytes(16 << 10)] {
        let answer = stranger.call(&token.members[0], Protocol::Join, bytes).expect("a refusal");
        let reply = JoinReply::decode(answer.as_slice()).expect("a reply");
        assert_eq!(refusal(reply.outcome.expect("an outcome")), "the request cannot be read");
    }
    // What is said of a node is cut, and the token was not used up by all this.
    let mut long = good.clone();
    long.release = "9".repeat(8000);
    assert!(matches!(stranger.ask_to_join(&token, &long), Outcome::Taken(_)));
    node.root().assert_serves();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

#[test]
fn protocols_of_another_release_are_declined_by_name() {
    // XC19
    let node = own_server();
    let to = socket_of(&rogue::address(&node));
    runtime().block_on(async {
        let mut connection = Connection::open(to).await.expect("a handshake");
        let long = format!("/shoal/{}/1", "x".repeat(100));
        for protocol in ["/shoal/join/2", "/shoal/raft/0", "/shoal/blob/1", "/ipfs/id/1.0.0", "/", &long] {
            let (_, said) = connection.propose(protocol).await.expect("an answer");
            assert_eq!(said, "na", "{protocol}");
        }
        // The connection is none the worse for it.
        let (_, said) = connection.propose(Protocol::Join.name()).await.expect("an answer");
        assert_eq!(said, Protocol::Join.name());
    });
    node.root().assert_serves();
}

#[test]
fn frames_that_lie_about_their_length_buy_nothing() {
    // XC18
    use futures::AsyncWriteExt as _;

    let node = own_server();
    let (to, memory) = (socket_of(&rogue::address(&node)), node.usage().memory);
    runtime().block_on(async {
        let mut connection = Connection::open(to).await.expect("a handshake");
        let too_long =
            [u32::try_from(Protocol::Join.frame_limit()).expect("short") + 1, 1 << 30, 0xFFFF_FFEF];
        for length in too_long {
            let (mut stream, _) = connection.propose(Protocol::Join.name()).await.expect("an answer");
            stream.write_all(&length.to_be_bytes()).await.expect("sent");
            stream.flush().await.expect("sent");
            let told = raw_stream::rest(&mut stream).await.expect("an end");
            assert_eq!(told, 0xFFFF_FFFD_u32.to_be_bytes(), "too large: {length}");
        }
        // Announced and never sent; a refusal in place of a request; nothing, many times.
        for frame in [&16384_u32.to_be_bytes()[..], &u32::MAX.to_be_bytes(), &[0; 8192]] {
            let (mut stream, _) = connection.propose(Protocol::Join.name()).await.expect("an answer");
            stream.write_all(frame).await.expect("sent");
            stream.flush().await.expect("sent");
            raw_stream::rest(&mut stream).await.expect("an end");
        }
    });
    node.root().assert_serves();
    let after = node.usage().memory;
    assert!(after < memory + (64 << 20), "{after} bytes, {memory} before");
}

#[test]
fn streams_without_end_end_with_their_connection() {
    // XC14: opened as fast as they go, nothing said on them; or one byte of what is said first
    use futures::AsyncWriteExt as _;

    let node = own_server();
    let (to, memory) = (socket_of(&rogue::address(&node)), node.usage().memory);
    let count = runtime().block_on(async {
        let mut connection = Connection::open(to).await.expect("a handshake");
        let mut streams = Vec::new();
        while streams.len() < 5000 {
            // More than may be open at once wait, until the node gives up some or all.
            let Ok(mut stream) = connection.stream().await else { break };
            if stream.write_all(&[0x13]).await.is_err() || stream.flush().await.is_err() {
                break;
            }
            streams.push(stream);
        }
        assert!(connection.ends(PATIENCE).await, "a stranger stays for ever");
        streams.len()
    });
    println!("    strangers: {count} streams opened in one connection");
    assert!(count > 100, "{count}");
    node.root().assert_serves();
    wait_until("it to be gone", PATIENCE, || figure(&node, "shoal_peer_control_connections") == 0);
    let after = node.usage().memory;
    assert!(after < memory + (64 << 20), "{after} bytes, {memory} before");
}

#[test]
fn a_crowd_of_keys_gets_few_connections_and_then_none() {
    // XC17
    let node = own_server();
    let (to, memory) = (socket_of(&rogue::address(&node)), node.usage().memory);
    runtime().block_on(async {
        let mut crowd = tokio::task::JoinSet::new();
        for _ in 0..120 {
            crowd.spawn(async move {
                let mut connection = Connection::open(to).await.ok()?;
                let said = connection.propose(Protocol::Join.name()).await.ok();
                said.map(|(stream, _)| (connection, stream))
            });
        }
        // Held until all have tried.
        let let_in = crowd.join_all().await.into_iter().flatten().collect::<Vec<_>>();
        println!("    strangers: {} of 120 keys were let in at once", let_in.len());
        assert!((1..=16).contains(&let_in.len()), "{}", let_in.len());
        for (mut connection, _stream) in let_in {
            assert!(connection.ends(PATIENCE).await, "a stranger stays for ever");
        }
    });
    assert!(figure(&node, "shoal_peer_refused_total") >= 100);
    assert_unharmed(&node, memory);
    // There is room again.
    let (guest, token) = (Rogue::new(), rogue::token(&node, &["--edge"]));
    guest.join(&token, "b");
}
