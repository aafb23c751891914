//! Everything at once: nodes are killed, paused and cut off, links lose packets, while clients push, pull,
//! delete and exchange tags. 30 minutes with SHOAL_TEST_FULL=1.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use tests::register_load::{RegisterLoad, RegisterOptions};

use crate::dice::Dice;
use crate::partitions::{check, converge, summary};
use crate::rig::Rig;
use crate::rolling::Pushers;
use crate::{alone, report, size};

#[test]
fn random_faults_lose_nothing_and_all_that_was_answered_is_linearizable() {
    let _alone = alone();
    let time = Duration::from_secs(size(12, 30 * 60));
    let longest = Duration::from_millis(size(1500, 6000));
    let mut rig = Rig::start(3, 3);
    let options = RegisterOptions { rest: Duration::from_millis(size(0, 20)), ..RegisterOptions::default() };
    let load = RegisterLoad::start(&rig.clients(), options);
    let pushers = Pushers::start(&rig.clients(), 2);
    let watch = rig.watch_terms();
    let mut dice = Dice::new("all");
    let mut faults = [0; 5];
    while load.now() < time {
        // Most is to be learnt from the leader's troubles.
        let node = if dice.roll(2) == 0 { rig.leader(0) } else { dice.roll(3) };
        let held = dice.time(Duration::from_millis(100), longest);
        let fault = dice.roll(faults.len());
        faults[fault] += 1;
        match fault {
            0 => {
                rig.cluster.nodes[node].kill9();
                thread::sleep(held / 4);
                rig.cluster.nodes[node].restart();
            }
            1 => {
                rig.cluster.nodes[node].pause();
                thread::sleep(held);
                rig.cluster.nodes[node].resume();
            }
            2 => {
                rig.network.part(&[node], &rig.others(node));
                thread::sleep(held);
            }
            3 => {
                rig.network.cut_one_way(node, (node + 1) % 3);
                thread::sleep(held);
            }
            _ => {
                rig.network.lose(30);
                thread::sleep(held);
            }
        }
        rig.network.heal();
        thread::sleep(dice.time(Duration::ZERO, Duration::from_millis(800)));
    }
    converge(&rig);
    let history = load.stop();
    let (journal, counts) = pushers.stop();
    let terms = watch.stop().len();
    rig.wait_until_equal();
    let verdicts: Vec<_> = (0..3).map(|node| journal.verify_all(&rig.client(node), 2)).collect();
    let [kills, pauses, parts, one_way, losses] = faults;
    report(
        "all",
        &format!(
            "{kills} kills, {pauses} pauses, {parts} nodes cut off, {one_way} one-way cuts, {losses} times 30 % \
             lost; {terms} terms with one leader each; {} images pushed, {} given up after retries; {}; {}",
            counts.pushed.load(Ordering::Relaxed),
            counts.failed.load(Ordering::Relaxed),
            verdicts[0],
            summary(&history)
        ),
    );
    check(&history);
    verdicts.iter().for_each(|verdict| verdict.assert_whole(String::new));
    rig.assert_no_panics();
}
