//! `shoal token`: what a new node needs to join.

use std::time::{Duration, UNIX_EPOCH};

use clap::Subcommand;
use proto::admin::{NewToken, NodeKind, Revoked, Token, TokenInfo, Tokens};

use crate::Options;
use crate::client::{Client, ClientError};
use crate::output::{columns, render};

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
    /// List the tokens, without their secrets.
    List(Options),
    /// Make a token worthless; who joined with it stays.
    Revoke {
        /// Id of the token, as `shoal token list` shows it
        #[arg(value_name = "TOKEN")]
        id: String,
        #[command(flatten)]
        options: Options,
    },
}

pub(crate) fn run(command: Command) -> Result<String, ClientError> {
    match command {
        Command::Create { ttl, edge, options } => create(ttl, edge, &options),
        Command::List(options) => {
            let tokens: Tokens = Client::new(&options.access)?.get("tokens")?;
            Ok(render(options.output, &tokens, list))
        }
        Command::Revoke { id, options } => {
            let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            let path = format!("tokens/{}", if is_id { id.as_str() } else { "-" });
            let revoked: Revoked = Client::new(&options.access)?.delete(&path)?;
            Ok(render(options.output, &revoked, |revoked| format!("{} is revoked\n", revoked.id)))
        }
    }
}

fn list(tokens: &Tokens) -> String {
    let row = |token: &TokenInfo| {
        let time = |ms| humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(ms)).to_string();
        let state = match (&token.used_by, token.is_expired) {
            (Some(node), _) => format!("used by {node}"),
            (None, true) => "expired".to_owned(),
            (None, false) => "open".to_owned(),
        };
        let kind = if token.kind == NodeKind::Edge { "edge" } else { "full" };
        vec![token.id.clone(), kind.to_owned(), state, time(token.created_ms), time(token.expires_ms)]
    };
    columns(&["ID", "KIND", "STATE", "CREATED", "EXPIRES"], tokens.tokens.iter().map(row))
}

fn create(ttl: Duration, edge: bool, options: &Options) -> Result<String, ClientError> {
    let kind = if edge { NodeKind::Edge } else { NodeKind::Full };
    let wanted = NewToken { ttl_seconds: ttl.as_secs(), kind };
    let token: Token = Client::new(&options.access)?.post("tokens", &wanted)?;
    Ok(render(options.output, &token, |token| format!("{}\n", token.token)))
}
