//! `shoal role`: what somebody may become for a while.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use proto::admin::iam::{IamCall, Kind};

use super::iam::{Within, read};
use super::principal::{self, Gone, Name};
use crate::client::ClientError;

/// See the module.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a role.
    Create {
        /// File with the policy that says who may become it
        #[arg(long, value_name = "FILE")]
        trust: PathBuf,
        /// Longest session, 15m to 12h
        #[arg(long, default_value = "1h", value_parser = humantime::parse_duration, value_name = "TIME")]
        max_session: Duration,
        #[command(flatten)]
        name: Name,
    },
    /// List the roles.
    List(Within),
    /// Show a role: who may become it, its policies.
    Show(Name),
    /// Change who may become a role, or for how long, and end its sessions.
    Update {
        /// File with the policy that says who may become it
        #[arg(long, value_name = "FILE", required_unless_present = "max_session")]
        trust: Option<PathBuf>,
        /// Longest session, 15m to 12h
        #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
        max_session: Option<Duration>,
        #[command(flatten)]
        name: Name,
    },
    /// Delete a role.
    Delete(Gone),
}

pub(crate) fn run(command: Command) -> Result<String, ClientError> {
    match command {
        Command::Create { trust, max_session, name: Name { name, within } } => {
            let told = format!("role {name} is created");
            let (trust_policy, max_session_seconds) = (read(&trust)?, seconds(max_session));
            within.change(&IamCall::CreateRole { name, trust_policy, max_session_seconds }, &told)
        }
        Command::List(within) => principal::list(Kind::Role, &within),
        Command::Show(name) => principal::show(Kind::Role, name),
        Command::Update { trust, max_session, name: Name { name, within } } => {
            let told = format!("role {name} is changed");
            let trust_policy = trust.as_deref().map(read).transpose()?;
            let max_session_seconds = max_session.map(seconds);
            within.change(&IamCall::UpdateRole { name, trust_policy, max_session_seconds }, &told)
        }
        Command::Delete(gone) => principal::delete(Kind::Role, gone),
    }
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}
