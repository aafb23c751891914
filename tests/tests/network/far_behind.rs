//! E20: a node is so far behind that the log it would need is gone. It gets a snapshot over links that are
//! cut again and again, and what it says on the way never goes back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::cluster::PATIENCE;
use tests::content::{bytes_of, media_type, unique_bytes};
use tests::http::Client;
use tests::namespace::Namespace;
use tests::raw::Answer;
use tests::registry::Image;
use tests::wait_until;

use crate::dice::Dice;
use crate::rig::{Rig, status};
use crate::{alone, report, size};

/// Bytes of one manifest, about: few of them fill a log.
const LARGE: usize = 3 << 20;
/// Manifests; the log keeps 64 MiB.
const MANIFESTS: usize = 26;
/// What the link of the node carries.
const KBITS: u32 = 200_000;
/// The bar is 60 s; a busy machine may take longer.
const CAUGHT_UP: Duration = Duration::from_secs(600);

#[test]
fn a_node_far_behind_catches_up_over_links_that_are_cut_again_and_again() {
    let _alone = alone();
    let rounds = size(1, 10);
    let mut dice = Dice::new("E20");
    let mut rig = Rig::start(3, 3);
    let image = rig.client(0).push_image("team/behind", "v1");
    let (mut times, mut cuts, mut snapshots) = (Vec::new(), 0, 0);
    for round in 0..rounds {
        let away = (rig.leader(0) + 1) % 3;
        let writer = rig.client((away + 1) % 3);
        rig.cluster.nodes[away].kill9();
        let mut newest = 0;
        for number in 0..MANIFESTS {
            newest = round * MANIFESTS + number + 1;
            // A busy cluster may refuse one: that is no fault of the node that is away.
            wait_until("the manifest to be taken", PATIENCE, || put(&writer, &image, newest).status == 201);
        }
        let goal = status(&writer).and_then(|status| status["applied_index"].as_u64()).expect("an index");
        let before = installed(&rig, away);
        let (client, others) = (rig.client(away), rig.others(away));
        rig.network.slow(away, KBITS);
        let Rig { cluster, network, .. } = &mut rig;
        let done = AtomicBool::new(false);
        let began = Instant::now();
        cuts += thread::scope(|scope| {
            let cutting = scope.spawn(|| cut_again_and_again(network, away, &others, &mut dice, &done));
            // Also when a check fails: the scope would wait for ever.
            let _over = Over(&done);
            cluster.nodes[away].restart();
            watch_catching_up(&client, goal, newest);
            done.store(true, Ordering::Relaxed);
            cutting.join().expect("whoever cuts")
        });
        rig.network.even();
        times.push(began.elapsed());
        snapshots += installed(&rig, away) - before;
        rig.wait_until_equal();
    }
    times.sort();
    report(
        "E20",
        &format!(
            "{rounds} times {MANIFESTS} manifests of {LARGE} bytes behind, {cuts} cuts, {snapshots} snapshots \
             installed; caught up after {:?} (median), {:?} (most)",
            times[times.len() / 2],
            times[times.len() - 1],
        ),
    );
    assert!(snapshots > 0, "no snapshot was needed, so nothing was tested");
    rig.assert_no_panics();
}

/// Sets its flag when it goes.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How often the node has installed a snapshot.
fn installed(rig: &Rig, node: usize) -> usize {
    rig.cluster.nodes[node].log().matches("installing a snapshot").count()
}

/// Some cuts end a connection, some do not. Returns how many there were.
fn cut_again_and_again(
    network: &Namespace,
    node: usize,
    others: &[usize],
    dice: &mut Dice,
    done: &AtomicBool,
) -> usize {
    let mut cuts = 0;
    while !done.load(Ordering::Relaxed) {
        network.part(&[node], others);
        cuts += 1;
        thread::sleep(dice.time(Duration::from_millis(20), Duration::from_millis(2500)));
        network.heal();
        thread::sleep(dice.time(Duration::from_millis(300), Duration::from_millis(1500)));
    }
    cuts
}

/// Until the node has applied `goal`; what it says on the way never goes back.
fn watch_catching_up(client: &Client, goal: u64, newest: usize) {
    let began = Instant::now();
    let mut reached = 0;
    while reached < goal {
        if let Some(now) = status(client).and_then(|status| status["applied_index"].as_u64()) {
            assert!(now >= reached, "it went back from {reached} to {now}");
            reached = now;
        }
        // A read of a tag is true, or refused.
        let read = client.get("/v2/team/behind/manifests/newest").try_send();
        if let Some(answer) = read.ok().filter(|answer| answer.status == 200 && answer.complete) {
            assert_eq!(number_of(&answer), newest, "a read went back");
        }
        assert!(began.elapsed() < CAUGHT_UP, "at {reached} of {goal}");
    }
}

/// A large manifest as the next one under the tag.
fn put(client: &Client, image: &Image, number: usize) -> Answer {
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest).expect("a manifest");
    let padding: String = unique_bytes(LARGE / 2).iter().map(|byte| format!("{byte:02x}")).collect();
    manifest["annotations"] = json!({"number": number.to_string(), "padding": padding});
    client.put_manifest("team/behind", "newest", media_type::IMAGE, &bytes_of(&manifest))
}

fn number_of(answer: &Answer) -> usize {
    answer.json()["annotations"]["number"].as_str().and_then(|text| text.parse().ok()).expect("a number")
}
