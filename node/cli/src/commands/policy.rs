//! `shoal policy`: what users, groups and roles may do, and what would be decided.

use std::path::PathBuf;

use clap::Subcommand;
use proto::admin::iam::{Entity, IamCall, Named, PolicyText, Simulated};

use super::iam::{Within, named, read};
use crate::client::ClientError;
use crate::output::{pairs, render};

/// See the module.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Attach a policy, in place of one of the same name; warns of what is doubtful in it.
    Put {
        #[command(flatten)]
        policy: Policy,
        /// File with the policy; - is standard input
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Print a policy as it was put.
    Show(Policy),
    /// List the names of the policies.
    List {
        /// Of what: user/NAME, group/NAME or role/NAME
        #[arg(long, value_name = "KIND/NAME", value_parser = named)]
        of: Named,
        #[command(flatten)]
        within: Within,
    },
    /// Take a policy away.
    Delete(Policy),
    /// Print what would be decided now, and the statement that decides it.
    Test {
        /// ARN of a user or of an account's root, an account, or * for nobody in particular
        #[arg(long, value_name = "ARN")]
        principal: String,
        /// Such as ecr:PutImage
        #[arg(long, value_name = "ACTION")]
        action: String,
        /// ARN of a repository, user, group or role
        #[arg(long, default_value = "*", value_name = "ARN")]
        resource: String,
        /// A condition key with its value, such as aws:SourceIp=10.0.0.1
        #[arg(long = "context", value_name = "KEY=VALUE", value_parser = key_and_value)]
        context: Vec<(String, String)>,
        #[command(flatten)]
        within: Within,
    },
}

/// Which policy.
#[derive(Debug, clap::Args)]
pub struct Policy {
    /// Name of the policy
    #[arg(value_name = "POLICY")]
    policy: String,
    /// Of what: user/NAME, group/NAME or role/NAME
    #[arg(long, value_name = "KIND/NAME", value_parser = named)]
    of: Named,
    #[command(flatten)]
    within: Within,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    parts.ok_or_else(|| "KEY=VALUE".to_owned())
}

pub(crate) fn run(command: Command) -> Result<String, ClientError> {
    match command {
        Command::Put { policy: Policy { policy, of, within }, file } => {
            let told = format!("policy {policy} is put\n");
            let document = read(&file)?;
            let put: PolicyText = within.call(&IamCall::PutPolicy { entity: of, policy, document })?;
            let warnings = |put: &PolicyText| {
                let lines = put.warnings.iter().map(|warning| format!("warning: {warning}\n"));
                std::iter::once(told).chain(lines).collect()
            };
            Ok(render(within.options.output, &put, warnings))
        }
        Command::Show(Policy { policy, of, within }) => {
            let text: PolicyText = within.call(&IamCall::GetPolicy { entity: of, policy })?;
            Ok(render(within.options.output, &text, |text| format!("{}\n", text.document.trim_end())))
        }
        Command::List { of, within } => {
            let entity: Entity = within.call(&IamCall::Get(of))?;
            let lines = |names: &Vec<String>| names.iter().map(|name| format!("{name}\n")).collect();
            Ok(render(within.options.output, &entity.policies, lines))
        }
        Command::Delete(Policy { policy, of, within }) => {
            let told = format!("policy {policy} is deleted");
            within.change(&IamCall::DeletePolicy { entity: of, policy }, &told)
        }
        Command::Test { principal, action, resource, context, within } => {
            let call = IamCall::Simulate { principal, action, resource, context };
            let simulated: Simulated = within.call(&call)?;
            Ok(render(within.options.output, &simulated, |simulated| {
                let decision = if simulated.is_allowed { "allowed" } else { "denied" };
                let reason = simulated.reason.split_once(": ").map_or("", |(_, reason)| reason);
                pairs([("decision", decision.to_owned()), ("reason", reason.to_owned())])
            }))
        }
    }
}
