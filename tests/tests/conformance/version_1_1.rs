//! The suite of specification 1.1.1, run as the program `conformance-1.1` that `tests/install` builds: all four
//! categories, with a login, and with mounts that name no source.
//!
//! It has steps that exclude each other, so no run of it is without skips: [`EXCLUDED`] lists them, and nothing
//! else may be skipped.

use std::fs;
use std::process::Command;
use std::time::Duration;

use tests::process::{Finished, finish};
use tests::sandbox::Sandbox;

use crate::server;

/// How long the whole suite may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// How many checks it has.
const CHECKS: usize = 79;

/// The ends of the names of what a run skips.
const EXCLUDED: [&str; 4] = [
    // Instead of pushing what is pulled and listed: they only read a variable, and check nothing.
    "Pull Setup Get tag name from environment",
    "Content Discovery Setup Populate registry with test tags (no push)",
    // For a registry that does not mount a blob which is there, instead of the check that a mount can be read;
    // `oci/mounts.rs` has it for a blob that is not there.
    "Cross-mounting of nonexistent blob should yield session id",
    // For a registry that does not mount without a source, instead of the same question with 201.
    "Cross-mounting without from, and automatic content discovery disabled should return a 202",
];

fn suite(sandbox: &Sandbox, repository: &str) -> Command {
    let mut command = sandbox.command("conformance-1.1");
    command.env("OCI_ROOT_URL", format!("http://{}", sandbox.host()));
    command.env("OCI_USERNAME", sandbox.user()).env("OCI_PASSWORD", sandbox.password());
    command.env("OCI_NAMESPACE", format!("{repository}/one"));
    command.env("OCI_CROSSMOUNT_NAMESPACE", format!("{repository}/two"));
    for category in ["PULL", "PUSH", "CONTENT_DISCOVERY", "CONTENT_MANAGEMENT"] {
        command.env(format!("OCI_TEST_{category}"), "1");
    }
    command.env("OCI_AUTOMATIC_CROSSMOUNT", "1").env("OCI_REPORT_DIR", sandbox.path("work"));
    command
}

#[expect(clippy::expect_used, reason = "a suite that did not run fails the test")]
fn run(sandbox: &Sandbox, repository: &str) -> Finished {
    finish(&mut suite(sandbox, repository), b"", PATIENCE).expect("the suite ends")
}

/// Name and status of each check, from the report; what surrounds the checks is left out.
#[expect(clippy::expect_used, reason = "a suite that did not run fails the test")]
fn results(sandbox: &Sandbox) -> Vec<(String, String)> {
    let report = fs::read_to_string(sandbox.path("work/junit.xml")).expect("a report");
    let checks = report.split("<testcase name=\"[It] ").skip(1).map(|rest| {
        let attribute = |after: &str| Some(rest.split_once(after)?.1.split_once('"')?.0.to_owned());
        let name = rest.split_once('"').map(|(name, _)| name.to_owned());
        name.zip(attribute("status=\"")).expect("a name and a status")
    });
    checks.collect()
}

/// Runs the suite in repositories below `repository`.
///
/// # Panics
/// When a check neither passed nor excludes one that did.
pub(crate) fn assert_passes(sandbox: &Sandbox, repository: &str) {
    let finished = run(sandbox, repository);
    assert!(finished.status.success(), "{}\n{}", finished.status, finished.said());
    let results = results(sandbox);
    assert_eq!(results.len(), CHECKS, "{results:#?}");
    let other: Vec<_> = results.iter().filter(|(_, status)| status != "passed").collect();
    let allowed = |name: &str| EXCLUDED.iter().any(|excluded| name.ends_with(excluded));
    let wrong: Vec<_> = other.iter().filter(|(name, status)| status != "skipped" || !allowed(name)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", finished.said());
    assert_eq!(other.len(), EXCLUDED.len(), "{other:#?}");
    assert!(sandbox.path("work/report.html").is_file(), "no report.html");
}

#[test]
fn the_older_suite_passes_all_that_does_not_exclude_each_other() {
    assert_passes(&Sandbox::new(&server()), "conformance");
}

#[test]
fn the_older_suite_fails_when_the_registry_refuses_it() {
    let server = server();
    let stranger = Sandbox::with_password(&server, "not the password");
    // Without this proof, a green run might be one that reached nobody.
    assert!(!run(&stranger, "conformance").status.success());
    assert!(results(&stranger).iter().any(|(_, status)| status == "failed"));
}
