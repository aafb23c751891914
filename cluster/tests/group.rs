//! Several nodes: what one acknowledges all have, whoever is gone.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod support;

use std::time::{Duration, Instant};

use cluster::{Metadata, ProposeError, ReadError, Service, Start};
use cluster_core::command::Response;
use cluster_core::state;
use support::group::Cluster;
use support::{blob, node, repository, until_async};

async fn write(metadata: &Metadata, name: &str) {
    let linked = metadata.propose(blob(name, b"layer").0).await.unwrap();
    assert!(matches!(linked, Response::BlobLinked { .. }), "{linked:?}");
}

async fn holds(metadata: &Metadata, name: &str) -> bool {
    let view = metadata.read().await.unwrap();
    state::repository::repository(&view, &repository(name)).unwrap().is_some()
}

/// Writes until it works; how long that took.
async fn writable(metadata: &Metadata, name: &str) -> Duration {
    let started = Instant::now();
    until_async("a write", || async { metadata.propose(blob(name, b"layer").0).await.is_ok() }).await;
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_through_any_node_is_read_at_every_other() {
    let cluster = Cluster::of(3).await;
    for n in 0..60u64 {
        let name = format!("team/r{n}");
        write(&cluster.nodes[&(n % 3 + 1)], &name).await;
        for metadata in cluster.nodes.values() {
            assert!(holds(metadata, &name).await, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_loss_of_the_leader_the_others_go_on() {
    let mut cluster = Cluster::of(3).await;
    write(&cluster.leader(), "team/before").await;
    for round in 0..3 {
        let leader = cluster.leader_id().unwrap();
        let other = cluster.nodes[&cluster.followers()[0]].clone();
        let killed = Instant::now();
        cluster.kill(leader).await;
        let stopped = killed.elapsed();
        writable(&other, &format!("team/after{round}")).await;
        println!("leader killed: writes after {:?} (of which {stopped:?} to stop it)", killed.elapsed());
        assert!(holds(&other, "team/before").await);
        cluster.start(leader, Start::Resume).await;
        cluster.led().await;
        cluster.caught_up().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minority_acknowledges_and_reads_nothing_within_two_seconds_and_converges() {
    let cluster = Cluster::of(3).await;
    let old = cluster.leader_id().unwrap();
    let others = cluster.followers();
    cluster.net.isolate(old, &others);
    let alone = &cluster.nodes[&old];
    let started = Instant::now();
    let (written, read) = tokio::join!(alone.propose(blob("team/lost", b"layer").0), alone.read());
    assert!(matches!(written, Err(ProposeError::Unavailable(_))), "{written:?}");
    assert!(matches!(read, Err(ReadError::Unavailable(_))), "{read:?}");
    assert!(started.elapsed() < Duration::from_millis(2500), "{:?}", started.elapsed());
    writable(&cluster.nodes[&others[0]], "team/kept").await;
    let again = Instant::now();
    assert!(alone.propose(blob("team/lost", b"layer").0).await.is_err());
    assert!(again.elapsed() < Duration::from_millis(2500));
    cluster.net.heal();
    cluster.led().await;
    cluster.caught_up().await;
    assert!(holds(alone, "team/kept").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_was_cut_off_comes_back_without_unseating_the_leader() {
    let cluster = Cluster::of(3).await;
    let (leader, away) = (cluster.leader_id().unwrap(), cluster.followers()[0]);
    let term = cluster.leader().status().term;
    cluster.net.isolate(away, &[1, 2, 3]);
    let refused = cluster.nodes[&away].propose(blob("team/x", b"layer").0).await;
    assert!(matches!(refused, Err(ProposeError::Unavailable(_))));
    write(&cluster.nodes[&leader], "team/meanwhile").await;
    cluster.net.heal();
    cluster.caught_up().await;
    assert_eq!((cluster.leader_id(), cluster.leader().status().term), (Some(leader), term));
    assert!(holds(&cluster.nodes[&away], "team/meanwhile").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_learner_gets_a_snapshot_through_lost_chunks_and_converges() {
    let mut cluster = Cluster::build(1, true).await;
    let leader = cluster.leader();
    let (commit, digest) = blob("team/app", b"layer");
    leader.propose(commit).await.unwrap();
    for n in 0..400u32 {
        let content = vec![n as u8; 16 << 10];
        let content = [&n.to_be_bytes()[..], &content].concat();
        let put = support::manifest("team/app", &format!("v{n}"), &content, digest, 5);
        leader.propose(put).await.unwrap();
    }
    support::until("the log is cut", || leader.status().purged_index > 0).await;
    cluster.net.lose_large(512 << 10);
    cluster.join(2).await;
    cluster.caught_up().await;
    println!("chunks lost on the way: {}", cluster.net.large_lost());
    assert!(cluster.net.large_lost() >= 3);
    let view = cluster.nodes[&2].read().await.unwrap();
    assert_eq!(state::tag::tags(&view, &repository("team/app"), None, 1000).unwrap().items.len(), 400);
    cluster.stop(2).await;
    cluster.start(2, Start::Resume).await;
    cluster.caught_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_restart_from_disk() {
    let mut cluster = Cluster::of(3).await;
    write(&cluster.leader(), "team/before").await;
    cluster.caught_up().await;
    for id in 1..=3 {
        cluster.kill(id).await;
    }
    for id in 1..=3 {
        cluster.start(id, Start::Resume).await;
    }
    cluster.led().await;
    writable(&cluster.nodes[&2], "team/after").await;
    assert!(holds(&cluster.nodes[&3], "team/before").await && holds(&cluster.nodes[&1], "team/after").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_hands_over() {
    for size in [3, 5] {
        let mut cluster = Cluster::of(size).await;
        for round in 0..3 {
            let leader = cluster.leader_id().unwrap();
            let other = cluster.nodes[&cluster.followers()[0]].clone();
            let started = Instant::now();
            let (_, ()) = tokio::join!(writable(&other, "team/first"), cluster.stop(leader));
            let gap = writable(&other, &format!("team/h{round}")).await;
            println!(
                "{size} voters, round {round}: stopped and writable after {:?}, last gap {gap:?}",
                started.elapsed()
            );
            assert!(started.elapsed() < Duration::from_secs(2));
            cluster.start(leader, Start::Resume).await;
            cluster.led().await;
            cluster.caught_up().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn voters_come_and_go_under_delay_and_loss() {
    let mut cluster = Cluster::of(3).await;
    cluster.net.delay(Duration::from_millis(20));
    cluster.net.lose(Some(17));
    cluster.join(4).await;
    cluster.caught_up().await;
    cluster.set_voters([1, 2, 4].map(node).into()).await;
    until_async("a write", || async {
        cluster.nodes[&4].propose(blob("team/new", b"layer").0).await.is_ok()
    })
    .await;
    cluster.net.lose(None);
    cluster.led().await;
    cluster.leader().remove_member(node(3)).await.unwrap();
    let members = cluster.nodes[&4].members();
    support::until("the members are known", || !members.borrow().members.contains_key(&node(3))).await;
    assert_eq!(members.borrow().voters, [1, 2, 4].map(node).into());
    assert_eq!(members.borrow().members[&node(4)].address, "node-4");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_group_has_settled_every_node_shows_what_was_acknowledged() {
    let cluster = Cluster::of(3).await;
    // So that followers learn late what is committed.
    cluster.net.delay(Duration::from_millis(30));
    let mut were_behind = 0;
    for round in 0..10 {
        let (command, digest) = blob(&format!("team/s{round}"), format!("layer {round}").as_bytes());
        cluster.leader().propose(command).await.unwrap();
        let shows = |id: &u64| {
            let local = cluster.nodes[id].local().unwrap();
            cluster_core::state::blob::blob(&local, &digest).unwrap().is_some()
        };
        were_behind += usize::from(!cluster.followers().iter().all(shows));
        assert_eq!(cluster.leader().settle().await, []);
        assert!(cluster.nodes.keys().all(shows), "round {round}");
    }
    assert!(were_behind > 0, "nobody was ever behind, so nothing was tested");
    // Who is cut off is named, and waited for no longer than a moment.
    cluster.net.heal();
    let cut_off = cluster.followers()[0];
    cluster.net.isolate(cut_off, &[1, 2, 3]);
    let unsettled = cluster.leader().settle().await;
    assert_eq!(unsettled.iter().map(|member| member.node).collect::<Vec<_>>(), [node(cut_off)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_make_no_sense_get_an_answer_and_change_nothing() {
    let cluster = Cluster::of(3).await;
    let term = cluster.leader().status().term;
    let mut seed = 1u64;
    for round in 0..3000usize {
        let bytes: Vec<u8> = (0..round % 200)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (seed >> 56) as u8
            })
            .collect();
        // Also with a version that is known and a kind that exists.
        let shaped = [&[8, 1, (round % 8 * 8 + 2) as u8, bytes.len() as u8][..], &bytes].concat();
        for service in [Service::Raft, Service::Metadata] {
            for request in [&bytes, &shaped] {
                let _ = cluster.nodes[&2].answer(service, node(3), request).await;
            }
        }
    }
    assert_eq!(cluster.leader().status().term, term);
    write(&cluster.leader(), "team/after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_heard_but_hears_nobody_makes_room_for_another_one() {
    let cluster = Cluster::of(3).await;
    let (deaf, others) = (cluster.leader_id().unwrap(), cluster.followers());
    for other in &others {
        cluster.net.cut(*other, deaf);
    }
    // The last writer waits for its whole patience, as one that writes through the deaf leader does.
    let other = &cluster.nodes[&others[0]];
    writable(other, "team/meanwhile").await;
    let leader = other.status().leader.unwrap();
    assert!(others.contains(&leader));
    let term = other.status().term;
    cluster.net.heal();
    cluster.led().await;
    cluster.caught_up().await;
    assert_eq!((cluster.leader_id(), cluster.leader().status().term), (Some(leader), term));
    assert!(holds(&cluster.nodes[&deaf], "team/meanwhile").await);
}
