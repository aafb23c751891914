//! Public and private repositories side by side (OCI API checklist §11): each client pulls what everybody may without a
//! login, with the login of somebody who may nothing else, and what it may besides with a policy; and nothing more.

use serde_json::json;
use tests::amazon::access_key;
use tests::layout::{Entry, Layout};
use tests::principal::{DEFAULT_ACCOUNT, create_user, done, file};
use tests::sandbox::Sandbox;
use tests::signed::SigningClient;
use tests::{Server, ServerOptions};

use crate::ctr::Containerd;
use crate::docker::Docker;

const PUBLIC: &str = "public/app:v1";
const PRIVATE: &str = "private/app:v1";
const READ: [&str; 2] = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];

/// A node with one image in two repositories, and a user who may nothing.
struct Ground {
    server: Server,
}

impl Ground {
    fn new() -> Self {
        let server = Server::start(ServerOptions::default());
        let root = Sandbox::new(&server);
        let layout = Layout::write(&root.path("layout"), Entry::Image);
        let arguments = ["login", "--tls-verify=false", "-u", root.user(), "--password-stdin", root.host()];
        root.log_in("skopeo", &arguments).assert_success();
        for image in [PUBLIC, PRIVATE] {
            let (from, to) = (format!("oci:{}:one", layout.path()), format!("docker://{}", root.at(image)));
            root.run("skopeo", &["--insecure-policy", "copy", "-q", "--dest-tls-verify=false", &from, &to]);
        }
        let statement = json!({ "Effect": "Allow", "Principal": "*", "Action": READ });
        let policy = json!({ "Version": "2012-10-17", "Statement": statement }).to_string();
        let input = json!({ "repositoryName": "public/app", "policyText": policy });
        let signed = SigningClient::new(&access_key(&server));
        signed.call(server.host(), "SetRepositoryPolicy", &input).assert_status(200);
        create_user(&server, DEFAULT_ACCOUNT, "alice");
        Self { server }
    }

    /// From now on alice may read the private repository, or not.
    fn allow(&self, is_allowed: bool) {
        let of = ["--of", "user/alice"];
        if !is_allowed {
            done(&self.server, DEFAULT_ACCOUNT, &[&["policy", "delete", "read"], &of[..]].concat());
            return;
        }
        let resource = "arn:aws:ecr:local:000000000000:repository/private/*";
        let statement = json!({ "Effect": "Allow", "Action": READ, "Resource": resource });
        let policy = json!({ "Version": "2012-10-17", "Statement": statement }).to_string();
        let path = file(&self.server, "read", &policy);
        done(&self.server, DEFAULT_ACCOUNT, &[&["policy", "put", "read", "--file", &path], &of[..]].concat());
    }

    /// `pull` tries an image, without a login or with alice's.
    fn check(&self, sandbox: &Sandbox, log_in: impl Fn(&Sandbox), pull: impl Fn(&str, bool) -> bool) {
        let pulls = |is_alice: bool| [PUBLIC, PRIVATE].map(|image| pull(&sandbox.at(image), is_alice));
        assert_eq!(pulls(false), [true, false], "nobody in particular");
        log_in(sandbox);
        assert_eq!(pulls(true), [true, false], "who may nothing loses nothing");
        self.allow(true);
        assert_eq!(pulls(true), [true, true], "who may");
        self.allow(false);
        assert_eq!(pulls(true), [true, false], "who may not any more");
    }

    /// A home for clients that know alice's password.
    fn sandbox(&self) -> Sandbox {
        Sandbox::with_password(&self.server, "the password of alice")
    }
}

#[test]
fn docker_pulls_what_it_may_of_public_and_private_repositories() {
    let ground = Ground::new();
    let sandbox = ground.sandbox();
    let _docker = Docker::start(&sandbox);
    let log_in = |sandbox: &Sandbox| {
        let arguments = ["login", "-u", "alice", "--password-stdin", sandbox.host()];
        sandbox.log_in("docker", &arguments).assert_success();
    };
    ground.check(&sandbox, log_in, |image, _| {
        let pulled = sandbox.finish("docker", &["pull", "-q", image], "").status.success();
        sandbox.finish("docker", &["system", "prune", "-af"], "");
        pulled
    });
}

#[test]
fn podman_pulls_what_it_may_of_public_and_private_repositories() {
    let ground = Ground::new();
    let sandbox = ground.sandbox();
    // Named by the environment, it has to be there.
    std::fs::write(sandbox.path("auth.json"), "{}").expect("a file");
    let log_in = |sandbox: &Sandbox| {
        let arguments = ["login", "--tls-verify=false", "-u", "alice", "--password-stdin", sandbox.host()];
        sandbox.log_in("podman", &arguments).assert_success();
    };
    ground.check(&sandbox, log_in, |image, _| {
        let pulled = sandbox.finish("podman", &["pull", "-q", image], "").status.success();
        sandbox.finish("podman", &["rmi", "-af"], "");
        pulled
    });
}

#[test]
fn crane_pulls_what_it_may_of_public_and_private_repositories() {
    let ground = Ground::new();
    let sandbox = ground.sandbox();
    let log_in = |sandbox: &Sandbox| {
        let arguments = ["auth", "login", sandbox.host(), "-u", "alice", "--password-stdin"];
        sandbox.log_in("crane", &arguments).assert_success();
    };
    ground.check(&sandbox, log_in, |image, _| {
        sandbox.finish("crane", &["validate", "--remote", image], "").status.success()
    });
}

#[test]
fn containerd_pulls_what_it_may_of_public_and_private_repositories() {
    let ground = Ground::new();
    let sandbox = ground.sandbox();
    let _containerd = Containerd::start(&sandbox);
    // ctr has no login: every command carries the credentials.
    let user = format!("alice:{}", sandbox.password());
    ground.check(
        &sandbox,
        |_| {},
        |image, is_alice| {
            let login = if is_alice { vec!["--user", &user] } else { Vec::new() };
            let pull = [&["images", "pull", "--plain-http"], login.as_slice(), &[image]].concat();
            let pulled = sandbox.finish("ctr", &pull, "").status.success();
            sandbox.finish("ctr", &["images", "rm", "--sync", image], "");
            pulled
        },
    );
}
