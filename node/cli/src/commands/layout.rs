//! `shoal layout`: what a change of the nodes would move, before it is made.

use std::time::Duration;

use clap::Subcommand;
use proto::admin::{Layout, LayoutApply, LayoutChange, LayoutPlan, LayoutTraffic, LayoutWish, NodeState};

use crate::client::{Client, ClientError};
use crate::output::{bytes, columns, pairs, render};
use crate::{Options, size};

/// See the module.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what would move, how much, and for how long. Changes nothing.
    Plan {
        #[command(flatten)]
        changes: Changes,
        /// Bytes that each node is thought to fetch in a second
        #[arg(long, default_value = "100MiB", value_parser = size::parse, value_name = "SIZE")]
        rate: u64,
        #[command(flatten)]
        options: Options,
    },
    /// Make the changes that were planned. Refused if nodes changed since then.
    Apply {
        #[command(flatten)]
        changes: Changes,
        /// The version that the plan was made for, as `shoal layout plan` shows it
        #[arg(long, value_name = "NUMBER")]
        version: u64,
        #[command(flatten)]
        options: Options,
    },
}

/// What is to change.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub struct Changes {
    /// The node whose capacity changes; once for each --capacity
    #[arg(long, value_name = "NODE", requires = "capacity")]
    node: Vec<String>,
    /// Its capacity for placement, such as 2TiB; 0: that of its volume
    #[arg(long, value_parser = size::parse, value_name = "SIZE", requires = "node")]
    capacity: Vec<u64>,
    /// Takes all copies from a node; `shoal node remove` takes it out afterwards
    #[arg(long, visible_alias = "remove", value_name = "NODE")]
    drain: Vec<String>,
    /// Gives copies to a drained node again
    #[arg(long, value_name = "NODE")]
    undrain: Vec<String>,
}

impl Changes {
    fn list(&self) -> Result<Vec<LayoutChange>, ClientError> {
        if self.node.len() != self.capacity.len() {
            let message = "each --node needs one --capacity".to_owned();
            return Err(ClientError::Refused { message });
        }
        let change = |node: &String| LayoutChange { node: node.clone(), state: None, capacity_bytes: None };
        let weighed = self.node.iter().zip(&self.capacity);
        let weighed =
            weighed.map(|(node, bytes)| LayoutChange { capacity_bytes: Some(*bytes), ..change(node) });
        let to = |state| move |node| LayoutChange { state: Some(state), ..change(node) };
        let drained = self.drain.iter().map(to(NodeState::Draining));
        let undrained = self.undrain.iter().map(to(NodeState::Active));
        Ok(weighed.chain(drained).chain(undrained).collect())
    }

    /// As they are typed.
    fn arguments(&self) -> String {
        let weighed = self.node.iter().zip(&self.capacity);
        let weighed = weighed.map(|(node, bytes)| format!(" --node {node} --capacity {bytes}"));
        let drained = self.drain.iter().map(|node| format!(" --drain {node}"));
        let undrained = self.undrain.iter().map(|node| format!(" --undrain {node}"));
        weighed.chain(drained).chain(undrained).collect()
    }
}

pub(crate) fn run(command: Command) -> Result<String, ClientError> {
    match command {
        Command::Plan { changes, rate, options } => {
            let wish = LayoutWish { changes: changes.list()?, rate_bytes: rate };
            let plan: LayoutPlan = Client::new(&options.access)?.post("layout/plan", &wish)?;
            let arguments = changes.arguments();
            Ok(render(options.output, &plan, |plan| show(plan, rate, &arguments)))
        }
        Command::Apply { changes, version, options } => {
            let apply = LayoutApply { version, changes: changes.list()? };
            let layout: Layout = Client::new(&options.access)?.post("layout", &apply)?;
            Ok(render(options.output, &layout, |layout| {
                format!("done; the layout is at version {}, copies move in the background\n", layout.version)
            }))
        }
    }
}

fn show(plan: &LayoutPlan, rate: u64, arguments: &str) -> String {
    let sample = if plan.is_complete { "" } else { " (a sample: the rest moves in the same shares)" };
    let time = humantime::format_duration(Duration::from_secs(plan.seconds));
    let head = pairs([
        ("layout", format!("version {}", plan.version)),
        ("blobs", format!("{}, {}{sample}", plan.blobs, bytes(plan.bytes))),
        ("moves", format!("{} blobs, {}", plan.moved_blobs, bytes(plan.moved_bytes))),
        ("takes", format!("about {time} if each node fetches {} a second", bytes(rate))),
    ]);
    let row = |node: &LayoutTraffic| {
        vec![
            node.node.clone(),
            node.copies_in.to_string(),
            bytes(node.bytes_in),
            node.copies_out.to_string(),
            bytes(node.bytes_out),
        ]
    };
    let titles = ["NODE", "COPIES IN", "BYTES IN", "COPIES OUT", "BYTES OUT"];
    let nodes = columns(&titles, plan.nodes.iter().map(row));
    let nodes = if plan.nodes.is_empty() { String::new() } else { format!("\n{nodes}") };
    format!("{head}{nodes}\nto do it: shoal layout apply --version {}{arguments}\n", plan.version)
}
