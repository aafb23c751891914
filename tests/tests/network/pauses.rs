//! E13: the leader is stopped for a while and goes on as if nothing had been. Whoever reads a tag there then
//! sees what another leader acknowledged in between, or nothing.

use std::thread;
use std::time::{Duration, Instant};

use tests::content::{media_type, sha256};
use tests::http::Client;
use tests::raw::{Answer, Connection};
use tests::register_load::{RegisterLoad, RegisterOptions};
use tests::registry::Image;
use tests::wait_until;

use crate::dice::Dice;
use crate::rig::Rig;
use crate::{alone, report, size};

/// Questions that wait in the stopped node's sockets.
const WAITING: usize = 8;

#[test]
fn a_leader_that_was_paused_gives_no_stale_answer() {
    let _alone = alone();
    let pauses = size(4, 50);
    let longest = Duration::from_secs(size(4, 15));
    let mut dice = Dice::new("E13");
    let mut rig = Rig::start(3, 3);
    let load = RegisterLoad::start(
        &rig.clients(),
        RegisterOptions { clients_per_node: 1, ..RegisterOptions::default() },
    );
    let (mut gaps, mut fresh, mut refused, mut replaced) = (Vec::new(), 0, 0, 0);
    for round in 0..pauses {
        // From a hiccup to long after the lease.
        let pause = if round == 0 { Duration::from_millis(100) } else { dice.time(longest / 10, longest) };
        let asked = (rig.leader(0) + 1) % 3;
        let leader = rig.leader(asked);
        let survivor = rig.client(rig.others(leader)[round % 2]);
        let (old, new) = (prepare(&rig.client(leader)), prepare(&rig.client(leader)));
        put(&rig.client(leader), &old).expect("the first put");
        rig.cluster.nodes[leader].pause();
        let began = Instant::now();
        let waiting: Vec<_> = (0..WAITING).map(|_| ask(&rig.client(leader))).collect();
        let mut written = false;
        while began.elapsed() < pause {
            if !written && put(&survivor, &new).is_some() {
                written = true;
                gaps.push(began.elapsed());
            }
            thread::sleep(Duration::from_millis(5));
        }
        rig.cluster.nodes[leader].resume();
        let client = rig.client(leader);
        let after = (0..WAITING).map(|_| ask(&client).answer("GET").ok());
        let answers: Vec<Option<Answer>> =
            waiting.into_iter().map(|mut question| question.answer("GET").ok()).chain(after).collect();
        for answer in answers.into_iter().flatten() {
            match answer.status {
                503 => refused += 1,
                status => {
                    assert_eq!(status, 200, "{}", answer.text());
                    assert!(!written || answer.body == new.manifest, "stale after a pause of {pause:?}");
                    fresh += 1;
                }
            }
        }
        replaced += usize::from(written);
        wait_until("the woken node to answer", tests::cluster::PATIENCE, || {
            client.get(TARGET).try_send().is_ok_and(|answer| answer.status == 200)
        });
    }
    let history = load.stop();
    gaps.sort();
    report(
        "E13",
        &format!(
            "{pauses} pauses, {replaced} with another leader meanwhile (writes after {:?} median, {:?} most); \
             the woken leader gave {fresh} answers, none stale, and refused {refused}; {} calls recorded",
            gaps.get(gaps.len() / 2),
            gaps.last(),
            history.operations.len()
        ),
    );
    assert!(replaced > 0 && fresh > 0, "no other leader came, or nothing was answered: nothing was tested");
    history.assert_linearizable();
    rig.assert_no_panics();
}

const TARGET: &str = "/v2/team/paused/manifests/v1";

/// An image whose blobs are there.
fn prepare(client: &Client) -> Image {
    let image = Image::new("team/paused");
    client.push_blobs_of(&image);
    image
}

/// Moves the tag; `None`: not acknowledged.
fn put(client: &Client, image: &Image) -> Option<String> {
    let put = client.put(TARGET).header("Content-Type", media_type::IMAGE).body(image.manifest.clone());
    put.try_send().ok().filter(|answer| answer.status == 201).map(|_| sha256(&image.manifest))
}

/// A question that was sent and not answered yet.
fn ask(client: &Client) -> Connection<std::net::TcpStream> {
    let mut connection = Connection::open(client.host()).expect("the kernel accepts for it");
    connection.send(&client.get(TARGET).bytes()).expect("the kernel takes it");
    connection
}
