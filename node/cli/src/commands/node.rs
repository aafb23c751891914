//! `shoal node`: who belongs to the cluster.

use clap::Subcommand;
use proto::admin::{Node, NodeKind, NodeState, Nodes, Role};

use crate::Options;
use crate::client::{Client, ClientError};
use crate::output::{bytes, columns, pairs, render};

/// See the module.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List all nodes.
    List(Options),
    /// Show one node.
    Show(One),
    /// Take no more copies to a node and make those that it has elsewhere.
    Drain(One),
    /// Take copies to a drained node again.
    Undrain(One),
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
        Command::List(options) => {
            let nodes: Nodes = Client::new(&options.access)?.get("nodes")?;
            Ok(render(options.output, &nodes, list))
        }
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
    // An id is hexadecimal; anything else must not become another path.
    let id: String = one.id.chars().filter(char::is_ascii_alphanumeric).collect();
    let node = ask(&client, &format!("nodes/{id}"))?;
    Ok(render(one.options.output, &node, show))
}

fn list(nodes: &Nodes) -> String {
    let row = |node: &Node| {
        vec![
            node.id.clone(),
            role(node.role).to_owned(),
            state(node).to_owned(),
            node.region.clone(),
            node.zone.clone(),
            node.copies.to_string(),
            node.lag_entries.map_or_else(|| "-".to_owned(), |lag| lag.to_string()),
            node.release.clone(),
            node.addresses.join(","),
        ]
    };
    let titles = ["ID", "ROLE", "STATE", "REGION", "ZONE", "COPIES", "LAG", "RELEASE", "ADDRESSES"];
    columns(&titles, nodes.nodes.iter().map(row))
}

fn show(node: &Node) -> String {
    pairs([
        ("id", node.id.clone()),
        ("role", role(node.role).to_owned()),
        ("state", state(node).to_owned()),
        ("region", node.region.clone()),
        ("zone", node.zone.clone()),
        ("addresses", node.addresses.join(",")),
        ("capacity", bytes(node.capacity_bytes)),
        ("copies", node.copies.to_string()),
        ("lag", node.lag_entries.map_or_else(|| "-".to_owned(), |lag| format!("{lag} entries"))),
        ("release", node.release.clone()),
    ])
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Voter => "voter",
        Role::Learner => "learner",
        Role::Outside => "outside",
    }
}

fn state(node: &Node) -> &'static str {
    match (node.kind, node.state) {
        (NodeKind::Edge, _) => "edge",
        (NodeKind::Full, NodeState::Active) => "active",
        (NodeKind::Full, NodeState::Draining) => "draining",
        (NodeKind::Full, NodeState::Lost) => "lost",
    }
}
