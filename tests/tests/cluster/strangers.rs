//! Members that are up to no good, and keys in the wrong hands: XC1, XC3 to XC5, XC7, XC10, XC14.
//!
//! A member is believed what only it can know, and nothing about others; whatever it does, the rest of the cluster
//! agrees, takes pushes and answers pulls with the right bytes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use cluster_core::command::node::{CreateJoinToken, Removal};
use cluster_core::command::{Batch, Command, ConfirmCopies, NodeCommand};
use cluster_core::record::{NodeKind, NodeState};
use peer::{ByteStream, CallError, PeerAddress, Protocol};
use prost::Message as _;
use proto::digest::{Algorithm, Digest};
use proto::identity::NodeId;
use proto::upload::UploadId;
use proto::wire::exchange as blob;
use proto::wire::peer::{CopyReply, CopyRequest, Receipt, copy_reply};
use proto::wire::raft::{self, metadata_reply, metadata_request, raft_reply, raft_request};
use tests::Server;
use tests::cluster::{Cluster, PATIENCE, id_of, operate};
use tests::content::{sha256, unique_bytes};
use tests::rogue::{self, Rogue};
use tests::wait::wait_until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::alone;
use crate::damage::figure;

/// A term that nobody counts up to.
const FAR_TERM: u64 = 1 << 40;
/// Bytes of a leaf.
const LEAF: u64 = 256 << 10;

/// An edge of the cluster that says what the test says, once all nodes know it.
fn edge(cluster: &Cluster) -> (Rogue, Vec<PeerAddress>) {
    let rogue = Rogue::new();
    let nodes: Vec<PeerAddress> = cluster.nodes.iter().map(rogue::address).collect();
    rogue.join(&rogue::token(&cluster.nodes[0], &["--edge"]), "b");
    rogue.knows(nodes.iter().map(PeerAddress::key));
    for node in &nodes {
        wait_until("it to be known as a member", PATIENCE, || {
            rogue.call(node, Protocol::Metadata, status_request()).is_ok()
        });
    }
    (rogue, nodes)
}

fn metadata(kind: metadata_request::Kind) -> Vec<u8> {
    raft::MetadataRequest { version: 1, kind: Some(kind) }.encode_to_vec()
}

fn status_request() -> Vec<u8> {
    metadata(metadata_request::Kind::Status(raft::StatusRequest {}))
}

fn raft_message(kind: raft_request::Kind) -> Vec<u8> {
    raft::RaftRequest { version: 1, kind: Some(kind) }.encode_to_vec()
}

/// Why the node does not do what was asked.
fn refusal_of(answer: Result<Vec<u8>, CallError>) -> String {
    let answer = answer.expect("an answer");
    match raft::RaftReply::decode(answer.as_slice()).expect("a reply").kind {
        Some(raft_reply::Kind::Refused(refused)) => refused.reason,
        other => panic!("it was not refused: {other:?}"),
    }
}

/// Ballots and entries of a leader that `node` claims to be, and what else unseats one.
fn coup(node: NodeId) -> Vec<Vec<u8>> {
    let vote = |committed| Some(raft::Vote { term: FAR_TERM, node: node.get(), committed });
    let ballot = |handed_over| raft::Ballot {
        vote: vote(false),
        last: Some(raft::LogId { term: FAR_TERM, node: node.get(), index: FAR_TERM }),
        handed_over,
    };
    let chunk = raft::SnapshotChunk {
        vote: vote(true),
        snapshot_id: "s".to_owned(),
        last: Some(raft::LogId { term: FAR_TERM, node: node.get(), index: FAR_TERM }),
        membership: Some(raft::StoredMembership {
            log_id: None,
            membership: Some(raft::Membership {
                configs: vec![raft::VoterSet { nodes: vec![node.get()] }],
                members: vec![raft::Member { node: node.get(), address: String::new() }],
            }),
        }),
        size: 100 << 30,
        offset: 0,
        data: Vec::new(),
    };
    let append = raft::Append { vote: vote(true), previous: None, committed: None, entries: Vec::new() };
    let stand = raft::StandForElection { vote: vote(true) };
    [
        raft_request::Kind::Append(append),
        raft_request::Kind::Vote(ballot(false)),
        raft_request::Kind::Vote(ballot(true)),
        raft_request::Kind::PreVote(ballot(false)),
        raft_request::Kind::SnapshotChunk(chunk),
        raft_request::Kind::StandForElection(stand),
    ]
    .map(raft_message)
    .to_vec()
}

/// Whether a push is taken, and pulled at once.
fn takes_pushes(node: &Server) -> bool {
    let content = unique_bytes(2000);
    let digest = sha256(&content);
    let target = format!("/v2/team/pushed/blobs/uploads/?digest={digest}");
    node.root().post(target).body(content.clone()).send().status == 201
        && node.root().get(format!("/v2/team/pushed/blobs/{digest}")).send().body == content
}

fn term(node: &Server) -> u64 {
    let status = operate(node, &["status", "--output", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("a document");
    status["term"].as_u64().expect("a term")
}

#[test]
fn an_edge_moves_no_term_and_takes_no_place_of_a_leader_that_died() {
    // XC1, XC3, XC4, XC5
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let (rogue, nodes) = edge(&cluster);
    let (leader, before) = (cluster.leader(), term(&cluster.nodes[0]));
    for node in &nodes {
        for message in coup(rogue.node()) {
            assert_eq!(
                refusal_of(rogue.call(node, Protocol::Raft, message)),
                "an edge neither leads nor votes"
            );
        }
        for bytes in [Vec::new(), unique_bytes(1000), vec![0x0B; 1 << 20]] {
            refusal_of(rogue.call(node, Protocol::Raft, bytes));
        }
    }
    assert_eq!((cluster.leader(), term(&cluster.nodes[0])), (leader, before));
    // No leader is heard of for a while: the moment for a coup.
    let (stop, tries) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (stopping, trying) = (Arc::clone(&stop), Arc::clone(&tries));
    let others: Vec<_> = nodes.iter().enumerate().filter(|(place, _)| *place != leader).collect();
    let others: Vec<PeerAddress> = others.into_iter().map(|(_, node)| node.clone()).collect();
    let hammer = thread::spawn(move || {
        while !stopping.load(Ordering::Relaxed) {
            for node in &others {
                for message in coup(rogue.node()) {
                    let _ = rogue.call(node, Protocol::Raft, message);
                    trying.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    });
    cluster.nodes[leader].kill9();
    let next = (leader + 1) % 3;
    wait_until("another leader", PATIENCE, || takes_pushes(&cluster.nodes[next]));
    let after = term(&cluster.nodes[next]);
    stop.store(true, Ordering::Relaxed);
    hammer.join().expect("no panic");
    println!(
        "    strangers: {} messages of a coup; term {before}, then {after}",
        tries.load(Ordering::Relaxed)
    );
    assert!(after > before && after < before + 100, "{before}, then {after}");
    cluster.nodes[leader].restart();
    cluster.nodes[next].root().assert_serves();
}

/// What becomes of commands that the rogue proposes: the reason why they are refused.
fn propose(rogue: &Rogue, leader: &PeerAddress, command: Command) -> String {
    let batch = Batch { time_ms: 0, commands: vec![command] }.encode();
    let request = metadata(metadata_request::Kind::Propose(raft::Propose { batch, tick: false }));
    let answer = rogue.call(leader, Protocol::Metadata, request).expect("an answer");
    match raft::MetadataReply::decode(answer.as_slice()).expect("a reply").kind {
        Some(metadata_reply::Kind::Refused(refused)) => refused.reason,
        other => panic!("it was not refused: {other:?}"),
    }
}

#[test]
fn an_edge_changes_nothing_but_itself() {
    // XC1, XC11
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let (rogue, nodes) = edge(&cluster);
    let image = cluster.nodes[0].root().push_image("team/kept", "v1");
    let leader = nodes[cluster.leader()].clone();
    let victim = id_of(&cluster.nodes[1]).expect("an id").parse::<NodeId>().expect("an id");
    let digest = sha256(&image.layer).parse::<Digest>().expect("a digest");
    let node_command = |command| Command::Node(Box::new(command));
    let token =
        CreateJoinToken { token: [7; 16], secret_hash: [7; 32], expires_ms: u64::MAX, kind: NodeKind::Full };
    for command in [
        node_command(NodeCommand::Remove { node: victim, removal: Removal::Forced }),
        node_command(NodeCommand::SetState { node: victim, state: NodeState::Lost }),
        node_command(NodeCommand::CreateToken(token)),
        Command::ConfirmCopies(ConfirmCopies {
            digest,
            generation: UploadId::from_bytes(&[1; 24]).expect("an id"),
            added: Vec::new(),
            lost: vec![victim],
            released: Vec::new(),
        }),
        Command::RecountCopies { limit: 1 },
    ] {
        assert_eq!(propose(&rogue, &leader, command), "an edge may not propose this");
    }
    let told = cluster.nodes.iter().any(|node| node.log().contains("an edge proposed what it may not"));
    assert!(told, "no line tells of it");
    // Nor does it make others keep what it likes.
    let copy = CopyRequest {
        version: 1,
        digest: Digest::of(Algorithm::Sha256, b"").to_bytes(),
        size: 0,
        generation: vec![1; 24],
        pieces_root: vec![0; 32],
        from: rogue.node().get(),
        staging_deadline_ms: u64::MAX,
        pieces: Vec::new(),
    };
    assert_eq!(rogue.call(&nodes[0], Protocol::Copy, copy.encode_to_vec()), Err(CallError::Refused));
    let listed = operate(&cluster.nodes[0], &["node", "list", "--output", "json"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains(&victim.to_string()));
    cluster.nodes.iter().for_each(|node| node.root().assert_serves());
}

#[test]
fn a_node_that_was_removed_and_goes_on_talking_is_cut_off() {
    // XC7
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let (rogue, nodes) = edge(&cluster);
    let mut streams: Vec<ByteStream> =
        nodes.iter().map(|node| rogue.open(node, Protocol::Blob).expect("a stream")).collect();
    let id = rogue.node().to_string();
    wait_until("it to be removed", PATIENCE, || cluster.operate(&["node", "remove", &id]).status.success());
    for stream in &mut streams {
        let ended =
            rogue.run(async { tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await });
        assert!(ended.is_ok(), "a standing stream goes on");
    }
    for (node, server) in nodes.iter().zip(&cluster.nodes) {
        wait_until("it to be refused", PATIENCE, || {
            rogue.call(node, Protocol::Metadata, status_request()) == Err(CallError::Refused)
        });
        for protocol in [Protocol::Raft, Protocol::Metadata, Protocol::Copy] {
            assert_eq!(rogue.call(node, protocol, status_request()), Err(CallError::Refused), "{protocol:?}");
        }
        assert!(rogue.open(node, Protocol::Blob).is_err());
        let key = rogue.peers().key().to_string();
        let log = server.log();
        assert!(
            log.lines().any(|line| line.contains("requests of peers were refused") && line.contains(&key))
        );
        server.root().assert_serves();
    }
}

#[test]
fn a_members_key_in_other_hands_does_not_stop_the_cluster() {
    // Somebody else has the key of a node that runs, and answers in its place.
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let nodes: Vec<PeerAddress> = cluster.nodes.iter().map(rogue::address).collect();
    let stolen = (cluster.leader() + 1) % 3;
    let thief = Rogue::with_key(rogue::stolen_seed(&cluster.nodes[stolen]));
    let others: Vec<usize> = (0..3).filter(|place| *place != stolen).collect();
    thief.knows(others.iter().map(|place| nodes[*place].key()));
    for protocol in [Protocol::Raft, Protocol::Metadata, Protocol::Copy] {
        thief.peers().serve(protocol, |_, _| async { Some(unique_bytes(100)) });
    }
    thief.peers().serve_streams(Protocol::Blob, |_, mut stream| async move {
        let _ = stream.write_all(&[0xFF; 100]).await;
    });
    for round in 0..20 {
        for place in &others {
            for protocol in [Protocol::Raft, Protocol::Metadata, Protocol::Copy] {
                let _ = thief.call(&nodes[*place], protocol, unique_bytes(100));
            }
            let _ = thief.open(&nodes[*place], Protocol::Blob);
            if round % 5 == 0 {
                wait_until("a push beside the thief", PATIENCE, || takes_pushes(&cluster.nodes[*place]));
            }
        }
    }
    drop(thief);
    // The node itself is found again.
    cluster.wait_for_status("all copies to be made", |status| {
        if status["blobs_under_copied"] == 0 { Ok(()) } else { Err(status.to_string()) }
    });
    cluster.nodes.iter().for_each(|node| {
        assert!(!node.log().contains("panicked"));
        node.root().assert_serves();
    });
}

#[test]
fn a_member_that_floods_harms_nobody_else() {
    // XC4, XC14, XC18: as many calls and streams as go, large ones, slow ones, and ones that are never read
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let (rogue, nodes) = edge(&cluster);
    let (leader, before) = (cluster.leader(), term(&cluster.nodes[0]));
    let target = nodes[leader].clone();
    let memory = cluster.nodes[leader].usage().memory;
    let stop = Arc::new(AtomicBool::new(false));
    let flood = {
        let (stop, peers) = (Arc::clone(&stop), rogue.peers().clone());
        thread::spawn(move || {
            let mut said = [0_u64; 2];
            while !stop.load(Ordering::Relaxed) {
                let calls = rogue.run(async {
                    let mut calls = tokio::task::JoinSet::new();
                    for number in 0..200_usize {
                        let (peers, target) = (peers.clone(), target.clone());
                        calls.spawn(async move {
                            let protocol = [Protocol::Raft, Protocol::Metadata][number % 2];
                            let size = if number % 10 == 0 { 8 << 20 } else { 100 };
                            peers
                                .call(&target, protocol, vec![0x0B; size], Duration::from_secs(5))
                                .await
                                .is_ok()
                        });
                    }
                    let mut streams = Vec::new();
                    for _ in 0..40 {
                        streams.extend(peers.open(&target, Protocol::Blob, Duration::from_secs(1)).await);
                    }
                    for stream in &mut streams {
                        // The head of a request, without the rest.
                        let _ = stream.write_all(&[0, 0, 1]).await;
                    }
                    calls.join_all().await
                });
                said[0] += calls.len() as u64;
                said[1] += calls.iter().filter(|is_answered| **is_answered).count() as u64;
            }
            said
        })
    };
    let mut most = 0;
    for _ in 0..20 {
        cluster.nodes.iter().for_each(|node| node.root().assert_serves());
        most = most.max(cluster.nodes[leader].usage().memory);
    }
    stop.store(true, Ordering::Relaxed);
    let said = flood.join().expect("no panic");
    println!(
        "    strangers: a flood of {} calls, {} answered, beside 60 images; {} MiB more at most",
        said[0],
        said[1],
        most.saturating_sub(memory) >> 20
    );
    assert_eq!((cluster.leader(), term(&cluster.nodes[0])), (leader, before), "heartbeats were late");
    // Frames of four times the longest, for each of the two protocols, and what takes them in.
    assert!(most < memory + (256 << 20), "{most} bytes, {memory} before");
}

/// What a lying holder sends in place of the bytes that were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// As many as were asked for, others.
    Wrong,
    /// Fewer, and then nothing.
    Short,
    /// The announcement of more than there is.
    Long,
    /// Bytes of a header that never ends.
    Endless,
    /// Nothing at all.
    Silence,
}

/// A full member that says that it keeps what it is asked to keep, and then lies about it.
fn liar(rogue: &Rogue, lie: Arc<Mutex<Lie>>) {
    let node = rogue.node().get();
    rogue.peers().serve(Protocol::Copy, move |_, message| async move {
        let request = CopyRequest::decode(message.as_slice()).ok()?;
        let CopyRequest { digest, size, generation, .. } = request;
        let receipt = Receipt { digest, size, generation, node, incarnation: 1 };
        Some(CopyReply { outcome: Some(copy_reply::Outcome::Receipt(receipt)) }.encode_to_vec())
    });
    rogue.peers().serve_streams(Protocol::Blob, move |_, stream| {
        let lie = *lie.lock().expect("not poisoned");
        async move {
            let _ = answer_wrongly(stream, lie).await;
        }
    });
}

async fn answer_wrongly(mut stream: ByteStream, lie: Lie) -> anyhow::Result<()> {
    loop {
        let length = stream.read_u32().await?;
        let mut frame = vec![0; length as usize];
        stream.read_exact(&mut frame).await?;
        let request = blob::Request::decode(frame.as_slice())?;
        let leaves = request.size.div_ceil(LEAF).max(1);
        let list = if leaves > 1 { 32 * leaves } else { 0 };
        let length = match request.what {
            Some(blob::request::What::List(_)) => list,
            Some(blob::request::What::Leaves(asked)) => {
                let end = (asked.first + u64::from(asked.count)) * LEAF;
                end.min(request.size) - asked.first * LEAF
            }
            Some(blob::request::What::Whole(_)) => list + request.size,
            Some(blob::request::What::Have(_)) | None => 0,
        };
        let announced = if lie == Lie::Long { length + 1 } else { length };
        let holding = blob::Holding { complete: true, ..blob::Holding::default() };
        let header = blob::Header {
            version: 1,
            status: blob::Status::Here.into(),
            retry_after_ms: 0,
            length: announced,
            holding: Some(holding),
        };
        let header = header.encode_to_vec();
        match lie {
            Lie::Silence => std::future::pending::<()>().await,
            Lie::Endless => {
                stream.write_u32(u32::MAX).await?;
                loop {
                    stream.write_all(&[0xFF; 4096]).await?;
                }
            }
            Lie::Wrong | Lie::Short | Lie::Long => {
                stream.write_u32(u32::try_from(header.len())?).await?;
                stream.write_all(&header).await?;
                let sent = if lie == Lie::Short { length / 2 } else { announced };
                stream.write_all(&vec![0xA5; usize::try_from(sent)?]).await?;
                stream.flush().await?;
                if lie == Lie::Short {
                    return Ok(());
                }
            }
        }
    }
}

#[test]
fn a_member_that_sends_wrong_bytes_is_quarantined_and_every_pull_is_right() {
    // XC10
    let _alone = alone();
    let mut cluster = Cluster::start(1);
    let (rogue, lie) = (Rogue::new(), Arc::new(Mutex::new(Lie::Silence)));
    liar(&rogue, Arc::clone(&lie));
    // Nearer to who will ask than the other holder: the same zone.
    rogue.join(&rogue::token(&cluster.nodes[0], &[]), "b");
    let reader = cluster.join_edge(&[]);
    let holder = &cluster.nodes[0];
    rogue.knows(rogue::token(holder, &[]).members.iter().map(PeerAddress::key));
    wait_until("the liar to say that it keeps copies", PATIENCE, || takes_pushes(holder));
    let quarantines = || figure(&reader, "shoal_exchange_quarantines_total");
    let pull = |size: usize| {
        let content = unique_bytes(size);
        let digest = holder.root().push_blob("team/lies", &content);
        let answer = reader.root().get(format!("/v2/team/lies/blobs/{digest}")).send();
        answer.assert_status(200);
        assert!(answer.body == content, "wrong or missing bytes: {}", answer.body.len());
    };
    for kind in [Lie::Silence, Lie::Short] {
        *lie.lock().expect("not poisoned") = kind;
        for size in [1000, 900_000, 3 << 20] {
            pull(size);
        }
    }
    assert_eq!(quarantines(), 0, "slow and broken is not wrong");
    let mut pulls = 0;
    for kind in [Lie::Wrong, Lie::Long, Lie::Endless].iter().cycle() {
        *lie.lock().expect("not poisoned") = *kind;
        pull([1000, 900_000, 3 << 20][pulls % 3]);
        pulls += 1;
        if quarantines() > 0 {
            break;
        }
        assert!(pulls < 30, "the liar is asked again and again");
    }
    println!("    strangers: a liar is quarantined after {pulls} pulls");
    assert_eq!((quarantines(), figure(&reader, "shoal_exchange_quarantined_nodes")), (1, 1));
    let log = reader.log();
    let told = log.lines().find(|line| line.contains("quarantined: its pieces were wrong")).expect("a line");
    assert!(told.contains(&rogue.node().to_string()), "{told}");
    let received = figure(&reader, "shoal_exchange_site_received_bytes_total");
    for size in [1000, 900_000, 3 << 20] {
        pull(size);
    }
    assert_eq!(figure(&reader, "shoal_exchange_site_received_bytes_total"), received, "it is asked still");
    reader.root().get("/v2/").send().assert_status(200);
}
