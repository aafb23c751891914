//! `shoal status`: whether writes work, how much may fail, what is missing.

use proto::admin::Status;

use crate::Options;
use crate::client::{Client, ClientError};
use crate::output::{pairs, render};

pub(crate) fn show(options: &Options) -> Result<String, ClientError> {
    let status: Status = Client::new(&options.access)?.get("status")?;
    Ok(render(options.output, &status, table))
}

fn table(status: &Status) -> String {
    let quorum = if status.quorum { "yes" } else { "NO: writes and reads by tag fail" };
    let spare = match status.voters_spare {
        0 => "none may fail".to_owned(),
        spare => format!("{spare} may fail"),
    };
    let missing = match status.blobs_under_copied {
        0 => "none".to_owned(),
        missing => format!("{missing} blobs have fewer than {}", status.copies_wanted),
    };
    let damaged = match status.blobs_damaged {
        0 => "none".to_owned(),
        damaged => format!("{damaged} cannot be read: see `shoal blob damaged`"),
    };
    pairs([
        ("cluster", status.cluster_id.clone()),
        ("answered by", status.node.clone()),
        ("quorum", quorum.to_owned()),
        ("leader", status.leader.clone().unwrap_or_else(|| "none".to_owned())),
        ("term", status.term.to_string()),
        ("log", format!("{} entries, {} applied", status.last_log_index, status.applied_index)),
        ("voters", format!("{}, of which {spare}", status.voters)),
        ("zones", status.zones.to_string()),
        ("copies", format!("{} at push, {} in the end", status.copies_at_push, status.copies_wanted)),
        ("copies missing", missing),
        ("blobs damaged", damaged),
    ])
}
