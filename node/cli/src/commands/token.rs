//! `shoal token`: what a new node needs to join.

use std::time::Duration;

use clap::Subcommand;
use proto::admin::{NewToken, NodeKind, Token};

use crate::Options;
use crate::client::{Client, ClientError};
use crate::output::render;

/// See the module.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a token for one node and print it; `shoal serve --join TOKEN` takes it.
    Create {
        /// How long the token is good for, such as 30m or 2h
        #[arg(long, default_value = "1h", value_parser = humantime::parse_duration, value_name = "TIME")]
        ttl: Duration,
        /// For a node that follows without a vote and keeps a cache
        #[arg(long)]
        edge: bool,
        #[command(flatten)]
        options: Options,
    },
}

pub(crate) fn run(command: Command) -> Result<String, ClientError> {
    let Command::Create { ttl, edge, options } = command;
    let kind = if edge { NodeKind::Edge } else { NodeKind::Full };
    let wanted = NewToken { ttl_seconds: ttl.as_secs(), kind };
    let token: Token = Client::new(&options.access)?.post("tokens", &wanted)?;
    Ok(render(options.output, &token, |token| format!("{}\n", token.token)))
}
