//! `shoal node replace`: one node takes over from another, step by step; each is safe to repeat, so a command
//! that was interrupted goes on when it is given again.

use std::io::Write;
use std::time::{Duration, Instant};

use proto::admin::{NewPin, Node, NodeHealth, NodeKind, NodeState, Pin, Role, Status};

use crate::Options;
use crate::client::{Client, ClientError};
use crate::commands::node::{path, show};
use crate::output::render;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, clap::Args)]
pub struct Replace {
    /// The node that goes; it may be dead
    #[arg(value_name = "OLD")]
    old: String,
    /// The node that takes over; it has joined already
    #[arg(value_name = "NEW")]
    new: String,
    /// How long to wait for copies to be made
    #[arg(long, default_value = "12h", value_parser = humantime::parse_duration, value_name = "TIME")]
    timeout: Duration,
    #[command(flatten)]
    options: Options,
}

pub(crate) fn run(replace: &Replace) -> Result<String, ClientError> {
    let client = Client::new(&replace.options.access)?;
    let old: Node = client.get(&path(&replace.old))?;
    let new: Node = client.get(&path(&replace.new))?;
    may_replace(&old, &new)?;
    if old.pin == Some(Pin::Always) && new.pin.is_none() {
        let _: Node = client.post(&format!("{}/pin", path(&new.id)), &NewPin { vote: Pin::Always })?;
        say(&format!("{} is pinned as a voter, as {} was", new.id, old.id));
    }
    let _: Node = client.post(&format!("{}/drain", path(&old.id)), &())?;
    say(&format!("{} is drained", old.id));
    let force = wait_for_copies(&client, &old.id, replace.timeout)?;
    let suffix = if force { "?force=true" } else { "" };
    let _: Node = client.delete(&format!("{}{suffix}", path(&old.id)))?;
    say(&format!("{} is removed", old.id));
    wait_for_voters(&client, &old.id, replace.timeout)?;
    let new: Node = client.get(&path(&new.id))?;
    Ok(render(replace.options.output, &new, show))
}

fn may_replace(old: &Node, new: &Node) -> Result<(), ClientError> {
    let refuse = |message: &str| Err(ClientError::Refused { message: message.to_owned() });
    if old.id == new.id {
        return refuse("a node cannot replace itself");
    }
    if new.kind != old.kind {
        return refuse("an edge and a full node cannot replace each other");
    }
    if new.kind == NodeKind::Edge {
        return refuse("an edge keeps nothing that another must take over: remove it");
    }
    if new.state != NodeState::Active {
        return refuse("the new node is drained or lost itself");
    }
    if new.lag_entries.is_none() {
        return refuse("the new node does not answer");
    }
    if new.pin == Some(Pin::Never) && old.role != Role::Learner {
        return refuse("the new node is pinned as no voter: unpin it first");
    }
    Ok(())
}

/// Waits until no blob needs the old node. True if it must be forced out, since it is not there to let go.
fn wait_for_copies(client: &Client, old: &str, timeout: Duration) -> Result<bool, ClientError> {
    let (began, mut last) = (Instant::now(), String::new());
    loop {
        let node: Node = client.get(&path(old))?;
        let status: Status = client.get("status")?;
        let is_there = health(&status, old).is_some_and(|health| health.applied_index.is_some());
        let missing = status.blobs_under_copied;
        let is_counted = !status.is_recounting;
        if node.copies == 0 {
            return Ok(false);
        }
        if !is_there && is_counted && missing == 0 {
            return Ok(true);
        }
        let there = if is_there { "" } else { ", does not answer" };
        let now = format!("{old} has {} copies{there}; {missing} blobs have too few elsewhere", node.copies);
        if now != last {
            say(&now);
            last = now;
        }
        if began.elapsed() > timeout {
            return Err(ClientError::NotInTime(last));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Waits until the group is as it will stay: the old node no member, and as many voters as there may be.
fn wait_for_voters(client: &Client, old: &str, timeout: Duration) -> Result<(), ClientError> {
    let began = Instant::now();
    loop {
        let status: Status = client.get("status")?;
        let is_gone = health(&status, old).is_none();
        // One or two nodes vote all, three and four have 3 voters, more have 5.
        let full = status.nodes.iter().filter(|node| node.kind == NodeKind::Full);
        let full = full.filter(|node| node.state == NodeState::Active && node.applied_index.is_some());
        let wanted = match full.count() {
            few @ 0..=2 => few,
            3 | 4 => 3,
            _ => 5,
        };
        if is_gone && status.quorum && status.voters as usize >= wanted {
            say(&format!("{} voters, {} may fail", status.voters, status.voters_spare));
            return Ok(());
        }
        if began.elapsed() > timeout {
            return Err(ClientError::NotInTime(format!("{} voters of {wanted}", status.voters)));
        }
        std::thread::sleep(PAUSE);
    }
}

fn health<'a>(status: &'a Status, node: &str) -> Option<&'a NodeHealth> {
    status.nodes.iter().find(|health| health.id == node)
}

/// Progress; the answer alone is on standard output.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
