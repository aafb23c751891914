//! E30: all links go down and come back every few seconds. Afterwards nothing is left of it: no sockets, no
//! threads, and no more memory than as many calls take on whole links, which fill the cache of the metadata.

use std::fs;
use std::thread;
use std::time::Duration;

use tests::cluster::PATIENCE;
use tests::register_load::{RegisterLoad, RegisterOptions};
use tests::wait_until;

use crate::rig::Rig;
use crate::{alone, report, size};

/// What a node holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    sockets: usize,
    threads: usize,
    memory: u64,
}

fn held(rig: &Rig, node: usize) -> Held {
    let server = &rig.cluster.nodes[node];
    let threads = fs::read_dir(format!("/proc/{}/task", server.pid())).map_or(0, |entries| entries.count());
    Held { sockets: server.sockets(), threads, memory: server.usage().memory }
}

#[test]
fn links_that_flap_leave_nothing_behind() {
    let _alone = alone();
    let flaps = size(3, 30);
    let half = Duration::from_millis(size(1000, 5000));
    let rig = Rig::start(3, 3);
    let all: Vec<usize> = (0..3).collect();
    let load = || {
        let options = RegisterOptions { clients_per_node: 1, ..RegisterOptions::default() };
        RegisterLoad::start(&rig.clients(), options)
    };
    // What a node holds after its first work is the base: pools and caches are filled then.
    let warm = load();
    thread::sleep(half * 2);
    warm.stop().assert_linearizable();
    rig.wait_until_equal();
    let before: Vec<Held> = all.iter().map(|node| held(&rig, *node)).collect();
    let running = load();
    for _ in 0..flaps {
        rig.network.part(&all, &all);
        thread::sleep(half);
        rig.network.heal();
        thread::sleep(half);
    }
    let history = running.stop();
    rig.wait_until_equal();
    // Connections that were cut are given up after a while.
    let mut after = before.clone();
    wait_until("the sockets to go", PATIENCE, || {
        after = all.iter().map(|node| held(&rig, *node)).collect();
        after.iter().zip(&before).all(|(after, before)| after.sockets <= before.sockets + 2)
    });
    let calls = history.operations.len();
    let control = load();
    wait_until("as many calls on whole links", PATIENCE * 5, || control.len() >= calls);
    control.stop().assert_linearizable();
    rig.wait_until_equal();
    report("E30", &format!("{flaps} flaps of all links, {calls} calls; before {before:?}, after {after:?}"));
    for node in all {
        compare(before[node], after[node], held(&rig, node));
    }
    history.assert_linearizable();
    rig.assert_no_panics();
}

/// Checks what a node holds `before` and `after` the flaps, and what it holds once as many calls were made on `whole`
/// links, too.
fn compare(before: Held, after: Held, whole: Held) {
    let flapping = after.memory.saturating_sub(before.memory);
    let without = whole.memory.saturating_sub(after.memory);
    report("E30", &format!("memory: {} KiB more by flaps, {} KiB without", flapping >> 10, without >> 10));
    // Blocking threads come and go with the load; a leak would add one or more for each flap and call.
    assert!(after.threads <= before.threads + 16, "threads: {before:?}, then {after:?}");
    assert!(
        flapping < 2 * without + (32 << 20),
        "memory: {before:?}, then {after:?}, {whole:?} on whole links"
    );
}
