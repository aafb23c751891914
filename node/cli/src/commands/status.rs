//! `shoal status`: whether writes work, how much may fail, what is missing.

use proto::admin::{NodeHealth, Status};

use crate::Options;
use crate::client::{Client, ClientError};
use crate::commands::node::{role, state_of};
use crate::output::{columns, pairs, render};

pub(crate) fn show(options: &Options) -> Result<String, ClientError> {
    let status: Status = Client::new(&options.access)?.get("status")?;
    Ok(render(options.output, &status, table))
}

fn table(status: &Status) -> String {
    let quorum = if status.quorum { "yes" } else { "NO: writes and reads by tag fail" };
    let well = status.voters_well.saturating_sub(status.voters.saturating_sub(status.voters_spare));
    let spare = match well {
        0 => "none may fail".to_owned(),
        spare => format!("{spare} more may fail"),
    };
    let zone = if status.zone_spare { ", any one zone too" } else { "" };
    let counting = if status.is_recounting { " (being counted again)" } else { "" };
    let missing = match status.blobs_under_copied {
        0 => format!("none{counting}"),
        missing => format!("{missing} blobs have fewer than {}{counting}", status.copies_wanted),
    };
    let contact = status.contact_age_seconds.map(|age| ("last contact", format!("{age} s ago: an edge")));
    let damaged = match status.blobs_damaged {
        0 => "none".to_owned(),
        damaged => format!("{damaged} cannot be read: see `shoal blob damaged`"),
    };
    let rows = [
        ("cluster", status.cluster_id.clone()),
        ("answered by", status.node.clone()),
        ("quorum", quorum.to_owned()),
        ("leader", status.leader.clone().unwrap_or_else(|| "none".to_owned())),
        ("term", status.term.to_string()),
        ("log", format!("{} entries, {} applied", status.last_log_index, status.applied_index)),
        ("voters", format!("{}, of which {} answer; {spare}{zone}", status.voters, status.voters_well)),
        ("zones", status.zones.to_string()),
        ("copies", format!("{} at push, {} in the end", status.copies_at_push, status.copies_wanted)),
        ("copies missing", missing),
        ("blobs damaged", damaged),
        ("level", level(status)),
    ];
    let nodes = columns(&TITLES, status.nodes.iter().map(row));
    format!("{}\n{nodes}", pairs(rows.into_iter().chain(contact)))
}

/// Says which nodes hold the cluster back.
fn level(status: &Status) -> String {
    let newest = status.nodes.iter().map(|node| node.newest_level).max().unwrap_or(status.level);
    if newest <= status.level {
        return status.level.to_string();
    }
    let old = status.nodes.iter().filter(|node| node.newest_level == status.level);
    let old: Vec<&str> = old.map(|node| node.id.as_str()).collect();
    format!("{}; {newest} once these run a newer release: {}", status.level, old.join(", "))
}

const TITLES: [&str; 9] = ["NODE", "ROLE", "STATE", "REGION", "ZONE", "RELEASE", "TERM", "APPLIED", "LAG"];

fn row(node: &NodeHealth) -> Vec<String> {
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let lag = if node.applied_index.is_none() { "no answer".to_owned() } else { number(node.lag_entries) };
    vec![
        node.id.clone(),
        role(node.role).to_owned(),
        state_of(node.kind, node.state).to_owned(),
        node.region.clone(),
        node.zone.clone(),
        node.release.clone(),
        number(node.term),
        number(node.applied_index),
        lag,
    ]
}
