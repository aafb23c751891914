//! Amazon's own clients against a node: an access key of its root, and the environment in which the AWS CLI and boto3
//! find the node.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::principal::{DEFAULT_ACCOUNT, done};
use crate::process::{Finished, finish};
use crate::sandbox::built_clients;
use crate::server::{Server, workspace};

/// How long one script may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// An access key of the root of `node`, as `shoal key create --output json` prints it.
///
/// # Panics
/// When it cannot be made.
pub fn access_key(node: &Server) -> Value {
    access_key_of(node, DEFAULT_ACCOUNT)
}

/// The same of the root of an account that [`create_account`](crate::principal::create_account) made.
///
/// # Panics
/// As [`access_key`].
pub fn access_key_of(node: &Server, account: &str) -> Value {
    let made = done(node, account, &["key", "create", "--output", "json"]);
    serde_json::from_str(&made).unwrap_or_default()
}

/// Runs a Python script that lies beside the tests, or the AWS CLI (`aws`), with `key` against the nodes at `hosts`; the
/// SDK's own settings lead to the first, `HOSTS` has all. Nothing of the user who runs the tests is read.
///
/// # Panics
/// When it cannot be run, or does not end in time.
pub fn run(program: &str, arguments: &[&str], key: &Value, hosts: &[&str]) -> Finished {
    let python = built_clients().with_file_name("python").join("bin");
    let mut command = if program == "aws" {
        Command::new(python.join("aws"))
    } else {
        let mut command = Command::new(python.join("python"));
        command.arg("-B").arg(script(program));
        command
    };
    let text = |name: &str| key[name].as_str().unwrap_or_default();
    command.args(arguments).env_clear().envs([
        ("PATH", "/usr/bin:/bin"),
        ("HOME", "/nonexistent"),
        ("AWS_ACCESS_KEY_ID", text("id")),
        ("AWS_SECRET_ACCESS_KEY", text("secret")),
        ("AWS_ENDPOINT_URL", &format!("http://{}", hosts.first().copied().unwrap_or_default())),
        ("AWS_REGION", "local"),
        ("AWS_DEFAULT_REGION", "local"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("HOSTS", &hosts.join(" ")),
    ]);
    match finish(&mut command, b"", PATIENCE) {
        Ok(finished) => finished,
        Err(error) => panic!("{program}: {error:#}"),
    }
}

fn script(name: &str) -> PathBuf {
    workspace().join(Path::new("tests/tests/ecr")).join(name)
}
