//! `shoal robot`: Docker credentials of machines.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use proto::admin::iam::{IamCall, RobotToken, RobotTokenInfo, RobotTokens};

use super::iam::{Within, read, time};
use crate::client::ClientError;
use crate::output::{columns, pairs, render};

/// See the module.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a token and print what `docker login` takes; the password is not shown again.
    Create {
        /// What it is for, for people
        #[arg(value_name = "NAME")]
        name: String,
        /// File with a policy that narrows what its owner may
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
        /// How long it is good for, such as 90d; without it, until it is revoked
        #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
        ttl: Option<Duration>,
        #[command(flatten)]
        owner: Owner,
    },
    /// List the tokens, without their passwords.
    List(Owner),
    /// Make a token worthless for good.
    Revoke {
        /// Id of the token, as `shoal robot list` shows it
        #[arg(value_name = "TOKEN")]
        id: String,
        #[command(flatten)]
        owner: Owner,
    },
}

/// In whose name it acts.
#[derive(Debug, clap::Args)]
pub struct Owner {
    /// In the name of this user; without it, of who asks
    #[arg(long, value_name = "USER")]
    of: Option<String>,
    #[command(flatten)]
    within: Within,
}

pub(crate) fn run(command: Command) -> Result<String, ClientError> {
    match command {
        Command::Create { name, policy, ttl, owner: Owner { of: user, within } } => {
            let policy = policy.as_deref().map(read).transpose()?;
            let ttl_seconds = ttl.map(|ttl| ttl.as_secs());
            let token: RobotToken =
                within.call(&IamCall::CreateRobotToken { user, name, policy, ttl_seconds })?;
            Ok(render(within.options.output, &token, show))
        }
        Command::List(Owner { of: user, within }) => {
            let tokens: RobotTokens = within.call(&IamCall::ListRobotTokens { user })?;
            Ok(render(within.options.output, &tokens, list))
        }
        Command::Revoke { id, owner: Owner { of: user, within } } => {
            let told = format!("{id} is revoked");
            within.change(&IamCall::RevokeRobotToken { user, id }, &told)
        }
    }
}

fn show(token: &RobotToken) -> String {
    pairs([
        ("id", token.id.clone()),
        ("user", token.user.clone()),
        ("password", token.password.clone()),
        ("expires", token.expires_ms.map_or("never".to_owned(), time)),
    ])
}

fn list(tokens: &RobotTokens) -> String {
    let row = |token: &RobotTokenInfo| {
        let ends = match token.expires_ms {
            None => "never".to_owned(),
            Some(_) if token.is_expired => "expired".to_owned(),
            Some(ms) => time(ms),
        };
        let narrowed = if token.policy.is_some() { "policy" } else { "-" };
        vec![token.id.clone(), token.name.clone(), time(token.created_ms), ends, narrowed.to_owned()]
    };
    columns(&["ID", "NAME", "CREATED", "EXPIRES", "NARROWED"], tokens.tokens.iter().map(row))
}
