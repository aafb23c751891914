//! E35: the kernel kills a node for want of memory, at whatever it is doing then; it is started again at once.

use tests::cgroup::{Controller, Group};
use tests::cluster::PATIENCE;
use tests::wait::{wait_for, wait_until};

use crate::rig::{Rig, any_node};
use crate::{alone, report, size};

/// How much less memory the node may use than it does.
const LESS: u64 = 256 << 10;

#[test]
fn nothing_acknowledged_is_lost_when_nodes_run_out_of_memory() {
    let _alone = alone();
    if !Controller::Memory.is_there() {
        return report("E35", "left out: no cgroup v1 memory controller here");
    }
    let kills = size(3, 50);
    let mut rig = Rig::new();
    let load = rig.load(4, 4);
    for _ in 0..kills {
        let before = rig.journal.len();
        wait_until("something to be acknowledged", PATIENCE, || rig.journal.len() > before + 8);
        let node = &mut rig.cluster.nodes[any_node()];
        let group = Memory::of(node.pid());
        wait_for("the node to be killed for want of memory", PATIENCE, || {
            if !node.is_running() {
                return Ok(());
            }
            group.shrink();
            Err(format!("{} bytes used", group.used()))
        });
        assert!(group.failures() > 0, "it ended, but not for want of memory");
        drop(group);
        node.restart();
    }
    let tally = load.stop();
    let verdict = rig.assert_kept(&tally);
    report(
        "E35",
        &format!(
            "{kills} nodes killed for want of memory, {} images pushed, {} pushes cut; {verdict}",
            tally.pushed, tally.push_failures
        ),
    );
}

/// A memory group with one process.
struct Memory(Group);

impl Memory {
    fn of(pid: u32) -> Self {
        let group = Group::new(Controller::Memory);
        // What the process had before is counted here too.
        let _ = group.set("memory.move_charge_at_immigrate", "3");
        group.take(pid);
        Self(group)
    }

    fn used(&self) -> u64 {
        self.number("memory.usage_in_bytes")
    }

    fn failures(&self) -> u64 {
        self.number("memory.failcnt")
    }

    fn number(&self, name: &str) -> u64 {
        self.0.get(name).trim().parse().unwrap_or_default()
    }

    /// Sets the limit below what is used; the kernel frees what it can, and refuses where it cannot: then to
    /// exactly what is used, so that the next page is one too many.
    fn shrink(&self) {
        let limit = |bytes: u64| self.0.set("memory.limit_in_bytes", &bytes.to_string());
        if limit(self.used().saturating_sub(LESS)).is_err() {
            let _ = limit(self.used());
        }
    }
}
