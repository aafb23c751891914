//! docker: the daemon and its command line, with the classic image store.

use std::time::Duration;

use tests::layout::{Entry, GREETING, Layout};
use tests::process::Daemon;
use tests::sandbox::Sandbox;
use tests::wait::wait_for;

use crate::{setup, stranger, write_build_context};

/// How long the daemon may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A docker daemon of the test's own. Dropping it stops it: killed, it would leave mounts behind.
pub(crate) struct Docker(Daemon);

impl Docker {
    pub(crate) fn start(sandbox: &Sandbox) -> Self {
        // Without a file of its own the daemon reads the machine's.
        std::fs::write(sandbox.path("daemon.json"), "{}").expect("a file");
        let mut command = sandbox.command("dockerd");
        for (option, place) in [
            ("--config-file", "daemon.json"),
            ("--data-root", "docker-data"),
            ("--exec-root", "docker-run"),
            ("--pidfile", "docker.pid"),
        ] {
            command.arg(option).arg(sandbox.path(place));
        }
        command.args(["-H", &format!("unix://{}", sandbox.text("docker.sock"))]);
        command.args(["--iptables=false", "--ip6tables=false", "--bridge=none"]);
        let log = sandbox.path("dockerd.log");
        let mut docker = Self(Daemon::spawn(&mut command, &log, &log).expect("dockerd starts"));
        wait_for("dockerd to answer", PATIENCE, || {
            if let Ok(Some(status)) = docker.0.ended() {
                panic!("dockerd ended with {status}\n{}", docker.0.tail());
            }
            let finished = sandbox.finish("docker", &["version"], "");
            if finished.status.success() { Ok(()) } else { Err(finished.said()) }
        });
        docker
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // An error has no one to go to here; the daemon is killed after it.
        let _ = self.0.stop(PATIENCE);
    }
}

fn log_in(sandbox: &Sandbox) {
    let arguments = ["login", "-u", sandbox.user(), "--password-stdin", sandbox.host()];
    sandbox.log_in("docker", &arguments).assert_success();
}

#[test]
fn docker_builds_pushes_removes_pulls_and_runs_an_image() {
    let (server, sandbox) = setup();
    let _docker = Docker::start(&sandbox);
    log_in(&sandbox);
    let image = sandbox.at("team/app:v1");
    sandbox.run("docker", &["build", "-q", "-t", &image, &write_build_context(&sandbox)]);
    let id = sandbox.run("docker", &["inspect", "-f", "{{.Id}}", &image]);
    sandbox.run("docker", &["push", &image]);
    let digest = server.root().head("/v2/team/app/manifests/v1").send();
    let digest = digest.assert_status(200).header("docker-content-digest").expect("a digest").to_owned();

    sandbox.run("docker", &["rmi", &image]);
    sandbox.refused("docker", &["inspect", &image]);
    let pulled = sandbox.run("docker", &["pull", &image]);
    assert!(pulled.contains(&format!("Digest: {digest}")), "{pulled}");
    assert!(!pulled.contains("Already exists"), "the layers did not leave the daemon: {pulled}");
    assert_eq!(sandbox.run("docker", &["inspect", "-f", "{{.Id}}", &image]), id);
    assert_eq!(sandbox.run("docker", &["run", "--rm", "--network", "none", &image]), GREETING);
}

#[test]
fn docker_pulls_by_digest_from_an_index_and_not_after_a_delete() {
    let (server, sandbox) = setup();
    let layout = Layout::write(&sandbox.path("layout"), Entry::Index);
    let _docker = Docker::start(&sandbox);
    log_in(&sandbox);
    let image = sandbox.at("team/multi:list");
    // docker's login serves oras too.
    let local = format!("{}:multi", layout.path());
    sandbox.run("oras", &["cp", "--from-oci-layout", "--to-plain-http", &local, &image]);
    sandbox.run("docker", &["pull", &image]);
    assert_eq!(sandbox.run("docker", &["run", "--rm", "--network", "none", &image]), GREETING);
    let by_digest = sandbox.at(&format!("team/multi@{}", layout.image));
    sandbox.run("docker", &["pull", &by_digest]);

    let root = server.root();
    root.delete(format!("/v2/team/multi/manifests/{}", layout.image)).send().assert_status(202);
    // The daemon removes its own copy of the manifest some time after the image.
    wait_for("docker to ask for the manifest", PATIENCE, || {
        sandbox.run("docker", &["system", "prune", "-af"]);
        let finished = sandbox.finish("docker", &["pull", &by_digest], "");
        let said = finished.said();
        let is_refused = said.contains("not found") || said.contains("unknown");
        if !finished.status.success() && is_refused { Ok(()) } else { Err(said) }
    });
}

#[test]
fn docker_with_a_wrong_password_is_refused() {
    let (server, sandbox) = setup();
    let _docker = Docker::start(&sandbox);
    let arguments = ["login", "-u", server.user(), "--password-stdin", server.host()];
    let said = sandbox.finish("docker", &arguments, stranger(&server).password()).assert_failure().said();
    assert!(said.to_lowercase().contains("unauthorized"), "{said}");
    let said = sandbox.refused("docker", &["pull", &sandbox.at("team/app:v1")]);
    assert!(
        said.to_lowercase().contains("denied")
            || said.contains("no basic auth")
            || said.contains("unauthorized"),
        "{said}"
    );
}
