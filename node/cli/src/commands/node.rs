//! `shoal node`: who belongs to the cluster.

use clap::Subcommand;
use proto::admin::{NewPin, Node, NodeKind, NodeState, Nodes, Pin, Role};

use crate::client::{Client, ClientError};
use crate::commands::replace::{self, Replace};
use crate::output::{bytes, columns, pairs, render};
use crate::{Options, Watched};

/// See the module.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List all nodes.
    List(Watched),
    /// Show one node.
    Show(One),
    /// Take no more copies to a node and make those that it has elsewhere.
    Drain(One),
    /// Take copies to a drained node again.
    Undrain(One),
    /// Let one node take over from another: drains the old one, waits, and removes it.
    Replace(Replace),
    /// Make a node a voter as long as it can be one; with --never, none.
    Pin {
        #[command(flatten)]
        one: One,
        /// No voter instead
        #[arg(long)]
        never: bool,
    },
    /// Leave a node's vote to the cluster again.
    Unpin(One),
    /// Take a node out of the cluster. Refused while blobs would have too few copies without it.
    Remove {
        #[command(flatten)]
        one: One,
        /// Although blobs may then have no copy left: for nodes whose disk is lost
        #[arg(long)]
        force: bool,
    },
}

/// One node.
#[derive(Debug, clap::Args)]
pub struct One {
    /// Id of the node, as `shoal node list` shows it
    #[arg(value_name = "NODE")]
    id: String,
    #[command(flatten)]
    options: Options,
}

pub(crate) fn run(command: Command) -> Result<String, ClientError> {
    match command {
        Command::List(watched) => watched.run(|options| {
            let nodes: Nodes = Client::new(&options.access)?.get("nodes")?;
            Ok(render(options.output, &nodes, list))
        }),
        Command::Replace(replace) => replace::run(&replace),
        Command::Pin { one, never } => {
            let vote = if never { Pin::Never } else { Pin::Always };
            answer(&one, |client, path| client.post(&format!("{path}/pin"), &NewPin { vote }))
        }
        Command::Unpin(one) => answer(&one, |client, path| client.delete(&format!("{path}/pin"))),
        Command::Show(one) => answer(&one, |client, path| client.get(path)),
        Command::Drain(one) => answer(&one, |client, path| client.post(&format!("{path}/drain"), &())),
        Command::Undrain(one) => answer(&one, |client, path| client.post(&format!("{path}/undrain"), &())),
        Command::Remove { one, force } => {
            let suffix = if force { "?force=true" } else { "" };
            answer(&one, |client, path| client.delete(&format!("{path}{suffix}")))
        }
    }
}

fn answer(
    one: &One,
    ask: impl FnOnce(&Client, &str) -> Result<Node, ClientError>,
) -> Result<String, ClientError> {
    let client = Client::new(&one.options.access)?;
    let node = ask(&client, &path(&one.id))?;
    Ok(render(one.options.output, &node, show))
}

/// Where a node is in the API. An id is hexadecimal; anything else must not become another path.
pub(crate) fn path(id: &str) -> String {
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    format!("nodes/{}", if is_id { id } else { "-" })
}

fn list(nodes: &Nodes) -> String {
    let row = |node: &Node| {
        vec![
            node.id.clone(),
            shown_role(node),
            state(node).to_owned(),
            node.region.clone(),
            node.zone.clone(),
            node.copies.to_string(),
            node.lag_entries.map_or_else(|| "-".to_owned(), |lag| lag.to_string()),
            node.release.clone(),
            node.newest_level.to_string(),
            node.addresses.join(","),
        ]
    };
    let titles = ["ID", "ROLE", "STATE", "REGION", "ZONE", "COPIES", "LAG", "RELEASE", "LEVEL", "ADDRESSES"];
    columns(&titles, nodes.nodes.iter().map(row))
}

pub(crate) fn show(node: &Node) -> String {
    pairs([
        ("id", node.id.clone()),
        ("role", shown_role(node)),
        ("state", state(node).to_owned()),
        ("region", node.region.clone()),
        ("zone", node.zone.clone()),
        ("addresses", node.addresses.join(",")),
        ("capacity", capacity(node)),
        ("copies", node.copies.to_string()),
        ("lag", node.lag_entries.map_or_else(|| "-".to_owned(), |lag| format!("{lag} entries"))),
        ("release", node.release.clone()),
        ("newest level", node.newest_level.to_string()),
    ])
}

fn capacity(node: &Node) -> String {
    match node.assigned_bytes {
        0 => bytes(node.capacity_bytes),
        assigned => format!("{}, counted as {}", bytes(node.capacity_bytes), bytes(assigned)),
    }
}

fn shown_role(node: &Node) -> String {
    let role = role(node.role);
    match node.pin {
        None => role.to_owned(),
        Some(Pin::Always) => format!("{role} (pinned)"),
        Some(Pin::Never) => format!("{role} (never a voter)"),
    }
}

pub(crate) fn role(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Voter => "voter",
        Role::Learner => "learner",
        Role::Outside => "outside",
    }
}

fn state(node: &Node) -> &'static str {
    state_of(node.kind, node.state)
}

pub(crate) fn state_of(kind: NodeKind, state: NodeState) -> &'static str {
    match (kind, state) {
        (NodeKind::Edge, _) => "edge",
        (NodeKind::Full, NodeState::Active) => "active",
        (NodeKind::Full, NodeState::Draining) => "draining",
        (NodeKind::Full, NodeState::Lost) => "lost",
    }
}
