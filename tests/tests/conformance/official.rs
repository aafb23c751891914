//! The official suite, run as the program `conformance` that `tests/install` builds, with the development version
//! of the specification, against an open registry and against one that asks everybody for a login.
//!
//! One kind of data stays off, as it is by default: images whose layers were never pushed. A registry may refuse
//! them, and this one does: 201 for a manifest promises that all of it can be pulled.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tests::process::{Finished, finish};
use tests::sandbox::Sandbox;
use tests::{Server, ServerOptions};

use crate::server;

/// How long the whole suite may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// The fewest lines of results that a whole run prints; a run that was cut short by its configuration has less.
const FEWEST_RESULTS: usize = 500;

fn suite(sandbox: &Sandbox, repository: &str, results: &Path) -> Command {
    let mut command = sandbox.command("conformance");
    command.env("OCI_REGISTRY", sandbox.host()).env("OCI_TLS", "disabled");
    command.env("OCI_USERNAME", sandbox.user()).env("OCI_PASSWORD", sandbox.password());
    command.env("OCI_REPO1", format!("{repository}/one")).env("OCI_REPO2", format!("{repository}/two"));
    command.env("OCI_VERSION", "dev");
    command.env("OCI_RESULTS_DIR", results);
    command
}

/// Lines `NAME: STATUS` of the program's output.
fn results(finished: &Finished) -> Vec<(String, String)> {
    let text = finished.text();
    let lines = text.lines().filter_map(|line| line.trim().rsplit_once(": "));
    let lines = lines.filter(|(name, _)| name.starts_with("OCI Conformance Test"));
    lines.map(|(name, status)| (name.to_owned(), status.to_owned())).collect()
}

/// Runs the suite whole on a registry that asks for a login, in repositories below `repository`.
///
/// # Panics
/// When a check neither passed nor may be skipped there.
pub(crate) fn assert_passes(sandbox: &Sandbox, repository: &str) {
    let other = not_passed(sandbox, repository);
    let wrong: Vec<_> = other.iter().filter(|result| !may_be_skipped(result)).collect();
    assert!(wrong.is_empty(), "{repository}: {wrong:#?}");
}

/// Runs the suite whole and gives the checks that neither passed nor belong to the kind that is off.
#[expect(clippy::expect_used, reason = "a suite that did not run fails the test")]
fn not_passed(sandbox: &Sandbox, repository: &str) -> Vec<(String, String)> {
    let folder = sandbox.path("results");
    let finished = finish(&mut suite(sandbox, repository, &folder), b"", PATIENCE).expect("the suite ends");
    let results = results(&finished);
    assert!(results.len() >= FEWEST_RESULTS, "only {} results\n{}", results.len(), finished.said());
    assert!(finished.status.success(), "{}\n{}", finished.status, finished.stderr);
    // It ends with success, too, when it could not read its configuration; then there are no reports.
    for file in ["results.yaml", "junit.xml", "report.html"] {
        let report = std::fs::read_to_string(folder.join(file)).expect("a report");
        assert!(!report.is_empty(), "{file} is empty");
    }
    results
        .into_iter()
        .filter(|(name, status)| status != "Pass" && !(status == "Disabled" && name.contains("/sparse")))
        .collect()
}

#[test]
fn the_official_suite_passes_whole_on_an_open_registry() {
    let server = Server::start(ServerOptions { anonymous_pull: true, ..ServerOptions::default() });
    let other = not_passed(&Sandbox::new(&server), "conformance");
    assert!(other.is_empty(), "{other:#?}");
}

/// On a registry that asks for a login, a mount without a source is the one thing that may be skipped: the
/// suite's token is for another repository than the one that has the blob, so the blob must not show.
fn may_be_skipped((name, status): &(String, String)) -> bool {
    status == "Skip" && name.ends_with("/mount anonymous/blob-mount-anonymous")
}

#[test]
fn the_official_suite_passes_on_a_closed_registry() {
    assert_passes(&Sandbox::new(&server()), "conformance");
}

#[test]
fn the_official_suite_fails_when_the_registry_refuses_it() {
    let server = server();
    let stranger = Sandbox::with_password(&server, "not the password");
    let mut command = suite(&stranger, "conformance", &stranger.path("results"));
    // Without this proof, a green run might be one that reached nobody. A part is enough for it; but then the
    // suite fails to write its reports and ends with success, so only its results count here.
    let finished = finish(command.env("OCI_FILTER_TEST", "OCI Conformance Test/empty"), b"", PATIENCE);
    let finished = finished.expect("the suite ends");
    let results = results(&finished);
    assert!(results.iter().any(|(_, status)| status == "FAIL"), "{}", finished.said());
    assert!(results.iter().all(|(_, status)| status != "Pass"), "{}", finished.said());
}
