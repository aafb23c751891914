//! ctr with a containerd of the test's own: what Kubernetes nodes pull with.

use std::time::Duration;

use tests::layout::{Entry, GREETING, Layout};
use tests::process::Daemon;
use tests::sandbox::Sandbox;
use tests::wait::wait_for;

use crate::{setup, stranger};

/// How long the daemon may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A containerd of the test's own. Dropping it stops it: killed, it would leave mounts behind.
pub(crate) struct Containerd(Daemon);

impl Containerd {
    pub(crate) fn start(sandbox: &Sandbox) -> Self {
        let socket = sandbox.text("containerd.sock");
        let configuration = format!(
            "version = 2\nroot = \"{}\"\nstate = \"{}\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\", \
             \"io.containerd.snapshotter.v1.aufs\", \"io.containerd.snapshotter.v1.btrfs\", \
             \"io.containerd.snapshotter.v1.zfs\", \"io.containerd.snapshotter.v1.devmapper\"]\n\
             [grpc]\naddress = \"{socket}\"\n[ttrpc]\naddress = \"{socket}.ttrpc\"\n",
            sandbox.text("containerd-data"),
            sandbox.text("containerd-run"),
        );
        std::fs::write(sandbox.path("containerd.toml"), configuration).expect("a file");
        let mut command = sandbox.command("containerd");
        command.arg("--config").arg(sandbox.path("containerd.toml"));
        let log = sandbox.path("containerd.log");
        let mut containerd = Self(Daemon::spawn(&mut command, &log, &log).expect("containerd starts"));
        wait_for("containerd to answer", PATIENCE, || {
            if let Ok(Some(status)) = containerd.0.ended() {
                panic!("containerd ended with {status}\n{}", containerd.0.tail());
            }
            let finished = sandbox.finish("ctr", &["version"], "");
            if finished.status.success() { Ok(()) } else { Err(finished.said()) }
        });
        containerd
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // An error has no one to go to here; the daemon is killed after it.
        let _ = self.0.stop(PATIENCE);
    }
}

/// ctr has no login: every command carries the credentials.
fn credentials(sandbox: &Sandbox) -> String {
    format!("{}:{}", sandbox.user(), sandbox.password())
}

/// Puts both images and their index into containerd as `name`.
fn import(sandbox: &Sandbox, layout: &Layout, name: &str) {
    let archive = sandbox.text("layout.tar");
    sandbox.run("tar", &["-C", &layout.path(), "-cf", &archive, "."]);
    sandbox.run("ctr", &["images", "import", "--all-platforms", "--base-name", name, &archive]);
}

#[test]
fn ctr_pushes_an_index_removes_it_pulls_it_and_runs_it() {
    let (server, sandbox) = setup();
    let layout = Layout::write(&sandbox.path("layout"), Entry::Index);
    let _containerd = Containerd::start(&sandbox);
    import(&sandbox, &layout, &sandbox.at("ct/app"));
    let (image, user) = (sandbox.at("ct/app:multi"), credentials(&sandbox));
    sandbox.run("ctr", &["images", "push", "--plain-http", "--user", &user, &image]);
    for digest in [&layout.index, &layout.image] {
        server.root().head(format!("/v2/ct/app/manifests/{digest}")).send().assert_status(200);
    }

    sandbox.run("ctr", &["images", "rm", "--sync", &image]);
    assert_eq!(sandbox.run("ctr", &["content", "ls", "-q"]), "", "content is left in containerd");
    sandbox.run("ctr", &["images", "pull", "--plain-http", "--user", &user, "--all-platforms", &image]);
    for digest in layout.reachable(&layout.index) {
        let pulled = sandbox.finish("ctr", &["content", "get", &digest], "").assert_success();
        assert!(pulled.stdout == layout.blob(&digest), "{digest} came back changed");
    }
    assert_eq!(sandbox.run("ctr", &["run", "--rm", &image, "greeter"]), GREETING);
}

#[test]
fn ctr_copies_to_a_repository_that_can_mount_and_not_after_a_delete() {
    let (server, sandbox) = setup();
    let layout = Layout::write(&sandbox.path("layout"), Entry::Index);
    let _containerd = Containerd::start(&sandbox);
    import(&sandbox, &layout, &sandbox.at("ct/app"));
    let (image, user) = (sandbox.at("ct/app:multi"), credentials(&sandbox));
    sandbox.run("ctr", &["images", "push", "--plain-http", "--user", &user, &image]);
    let copy = sandbox.at("ct/copy:multi");
    sandbox.run("ctr", &["images", "tag", &image, &copy]);
    sandbox.run("ctr", &["images", "push", "--plain-http", "--user", &user, &copy]);
    let root = server.root();
    root.delete(format!("/v2/ct/app/manifests/{}", layout.index)).send().assert_status(202);
    let said = sandbox.refused("ctr", &["images", "pull", "--plain-http", "--user", &user, &image]);
    assert!(said.contains("not found"), "{said}");
    sandbox.run("ctr", &["images", "pull", "--plain-http", "--user", &user, &copy]);
}

#[test]
fn ctr_with_a_wrong_password_is_refused() {
    let (server, sandbox) = setup();
    let layout = Layout::write(&sandbox.path("layout"), Entry::Index);
    let _containerd = Containerd::start(&sandbox);
    import(&sandbox, &layout, &sandbox.at("ct/app"));
    let (image, user) = (sandbox.at("ct/app:multi"), credentials(&stranger(&server)));
    for verb in ["push", "pull"] {
        let said = sandbox.refused("ctr", &["images", verb, "--plain-http", "--user", &user, &image]);
        assert!(said.contains("401 Unauthorized") || said.contains("authorization failed"), "{said}");
    }
    let nothing = server.root().get("/v2/ct/app/tags/list").send();
    nothing.assert_status(404);
}
