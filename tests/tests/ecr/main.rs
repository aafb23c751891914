//! Amazon ECR's API as its own clients use it: boto3, botocore and the AWS CLI, unmodified, at pinned versions.
//!
//! What they are asked to do stands in Python beside this file, since boto3 is what is tested. Each script prints what
//! went wrong and ends with 1.

use tests::amazon::{access_key, run};
use tests::{Server, ServerOptions};

/// Runs a script against a node of its own.
fn script(name: &str) {
    let server = Server::start(ServerOptions::default());
    let key = access_key(&server);
    let finished = run(name, &[], &key, &[server.host()]);
    let said = String::from_utf8_lossy(&finished.stdout);
    assert!(finished.status.success(), "{name}:\n{said}\n{}", finished.stderr);
}

#[test]
fn all_85_operations_take_what_botocores_models_allow_and_refuse_what_they_forbid() {
    script("sweep.py");
}

#[test]
fn layers_come_in_parts_and_are_read_by_their_urls() {
    script("layers.py");
}

#[test]
fn images_of_one_dialect_are_those_of_the_other() {
    script("images.py");
}

#[test]
fn what_is_set_is_what_is_read_and_tags_that_must_not_move_do_not() {
    script("settings.py");
}
