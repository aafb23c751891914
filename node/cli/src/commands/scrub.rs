//! `shoal scrub`: all stored copies of one node, checked against their digests.

use std::thread;
use std::time::Duration;

use clap::Subcommand;
use proto::admin::Scrub;

use crate::Options;
use crate::client::{Client, ClientError};
use crate::output::{bytes, pairs, render};

/// Between two looks whether a pass has ended.
const PAUSE: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show how far the scrub of the node at --url is, and how the last pass ended.
    Show(Options),
    /// Begin a pass at the node at --url now, without the limit of --scrub-rate.
    Start {
        /// Return when it has ended
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        options: Options,
    },
}

pub(crate) fn run(command: Command) -> Result<String, ClientError> {
    let (options, scrub) = match command {
        Command::Show(options) => {
            let scrub: Scrub = Client::new(&options.access)?.get("scrub")?;
            (options, scrub)
        }
        Command::Start { wait, options } => {
            let client = Client::new(&options.access)?;
            let begun: Scrub = client.post("scrub", &())?;
            let mut scrub = begun.clone();
            while wait && scrub.running && scrub.passes == begun.passes {
                thread::sleep(PAUSE);
                scrub = client.get("scrub")?;
            }
            (options, scrub)
        }
    };
    Ok(render(options.output, &scrub, table))
}

fn table(scrub: &Scrub) -> String {
    let state = match (scrub.running, scrub.unlimited) {
        (true, true) => "running without a limit",
        (true, false) => "running",
        (false, _) => "waiting for its next pass",
    };
    let time = |ms: Option<u64>| match ms {
        None => "never".to_owned(),
        Some(ms) => {
            humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + Duration::from_millis(ms)).to_string()
        }
    };
    pairs([
        ("scrub", state.to_owned()),
        ("pass began", time(scrub.began_ms)),
        ("checked", bytes(scrub.checked_bytes)),
        ("damaged copies", scrub.found.to_string()),
        ("last pass ended", time(scrub.ended_ms)),
    ])
}
