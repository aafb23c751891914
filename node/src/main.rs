//! The binary `shoal`: arguments to exit code. Everything else is in the modules; [`app`] puts them
//! together.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong arguments or configuration; of the operator's commands see [`cli`].

mod adapters;
mod api;
mod app;
mod auth;
mod config;
mod data_dir;
mod http;
mod jobs;
mod registry;
mod telemetry;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use app::recover::Recover;
use app::restore::Restore;
use config::{Config, Flags};

/// A container registry made of equal nodes: push to any, pull from any.
#[derive(Parser)]
#[command(name = "shoal", version, arg_required_else_help = true, after_help = cli::EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a node. Without any option: data in ./shoal-data, HTTP on 127.0.0.1:5000.
    Serve(Box<Flags>),
    /// Save all metadata to a file, look into it, found a new cluster from it.
    #[command(subcommand)]
    Backup(Backup),
    /// Make a cluster of one node out of what this node has, when the other voters are lost for good.
    Recover(Recover),
    #[command(flatten)]
    Operate(cli::Command),
}

#[derive(Subcommand)]
enum Backup {
    #[command(flatten)]
    Operate(cli::BackupCommand),
    /// Found a new cluster of one node from FILE, in an empty data directory.
    Restore(Restore),
}

fn main() -> ExitCode {
    let flags = match Arguments::parse().command {
        Command::Serve(flags) => flags,
        Command::Operate(command) => return cli::run(command, Arguments::command()),
        Command::Backup(Backup::Operate(command)) => return cli::run_backup(command),
        Command::Backup(Backup::Restore(restore)) => return ended(restore.run()),
        Command::Recover(recover) => return ended(recover.run()),
    };
    app::limit_heaps();
    let config = match Config::load(&flags) {
        Ok(config) => config,
        Err(mistakes) => return end(2, &mistakes.to_string()),
    };
    telemetry::log::start(config.log_format);
    ended(app::run(config))
}

fn ended(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => end(1, &format!("{error:#}")),
    }
}

/// Says why on standard error, whatever has become of it.
fn end(code: u8, reason: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "shoal: {reason}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_arguments_of_a_command_have_one_name() {
        Arguments::command().debug_assert();
    }
}
