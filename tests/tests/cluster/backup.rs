//! Everything is lost but a backup, or everything but one node: what comes back, and what is told to be gone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tests::cluster::{Cluster, PATIENCE, operate};
use tests::content::{media_type, sha256, unique_bytes};
use tests::journal::{Journal, Kept, Promise, check};
use tests::load::{Load, LoadOptions};
use tests::process::{Finished, finish};
use tests::server::binary;
use tests::{Server, ServerOptions, wait_until};

use crate::alone;

/// A command of `shoal` that needs no node.
fn shoal(arguments: &[&str]) -> Finished {
    finish(Command::new(binary()).args(arguments), b"", Duration::from_secs(300)).expect("it ends")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// A server whose data directory is gone, with the options of a node of its own.
fn without_data() -> Server {
    let mut server = Server::start(ServerOptions::default());
    server.stop();
    fs::remove_dir_all(server.data_dir()).expect("removed");
    server
}

fn save(cluster: &mut Cluster, file: &Path, blobs: &Path) -> serde_json::Value {
    let saved = cluster.operate(&["backup", "save", text(file), "--blobs", text(blobs), "-o", "json"]);
    assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));
    serde_json::from_slice(&saved.stdout).expect("a document")
}

/// E39; 1 GiB of blobs by SHOAL_TEST_FULL=1.
#[test]
fn a_backup_under_load_is_restored_into_a_new_cluster_of_another_size() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let size = if tests::registry::is_full_run() { 1 << 30 } else { 8 << 20 };
    let large: Vec<String> =
        (0..8).map(|_| cluster.nodes[0].root().push_blob("team/large", &unique_bytes(size / 8))).collect();
    let journal = Arc::new(Journal::default());
    let options = LoadOptions { pushers: 2, pullers: 1, large_manifests: false };
    let load = Load::start(&cluster.nodes[1].root(), options, &journal);
    wait_until("some pushes", PATIENCE, || journal.len() > 40);
    let acked = journal.all();
    let dir = tempfile::tempdir().expect("a directory");
    let (file, blobs) = (dir.path().join("shoal.backup"), dir.path().join("blobs"));
    let began = Instant::now();
    let saved = save(&mut cluster, &file, &blobs);
    let saving = began.elapsed();
    // Under load there may be more pushes between the acknowledged ones and the saved index, never fewer.
    let tally = load.stop();
    assert_eq!(tally.broken, Vec::<String>::new());
    // Once more: what is there is kept.
    let again = save(&mut cluster, &file, &blobs);
    assert!(again["copied"]["kept"].as_u64() >= saved["blobs"].as_u64(), "{again}");
    let inspected = shoal(&["backup", "inspect", text(&file), "-o", "json"]).assert_success();
    let inspected: serde_json::Value = serde_json::from_slice(&inspected.stdout).expect("a document");
    assert_eq!(inspected["index"], again["index"]);
    assert!(inspected["blob_bytes"].as_u64().expect("bytes") >= size as u64);
    let listed = shoal(&["backup", "inspect", text(&file), "--blobs"]).assert_success().text();
    assert!(large.iter().all(|digest| listed.contains(digest.as_str())), "{listed}");

    let old_cluster =
        cluster.wait_for_status("an id", |status| Ok::<_, String>(status["cluster_id"].clone()));
    let mut old = cluster.nodes.pop().expect("a node");
    old.kill9();
    drop(cluster);
    let mut first = without_data();
    let began = Instant::now();
    let data = first.data_dir();
    let restore = ["backup", "restore", text(&file), "--blobs", text(&blobs), "--data-dir"];
    let restored = shoal(&[&restore[..], &[text(&data), "-o", "json"]].concat()).assert_success();
    let restoring = began.elapsed();
    let restored: serde_json::Value = serde_json::from_slice(&restored.stdout).expect("a document");
    assert_eq!(restored["missing"].as_array().map(Vec::len), Some(0), "{restored}");
    assert_eq!(restored["restored_from"], old_cluster);
    assert_ne!(restored["cluster_id"], old_cluster);
    // Only into an empty directory.
    let twice = shoal(&[&restore[..], &[text(&data)]].concat()).assert_failure();
    assert!(twice.stderr.contains("is a node already"), "{}", twice.stderr);
    first.restart();
    let client = first.root();
    for promise in &acked {
        assert_eq!(check(&client, promise), Kept::Whole, "{promise:?}");
    }
    for digest in &large {
        let answer = client.get(format!("/v2/team/large/blobs/{digest}")).send();
        answer.assert_status(200);
        assert_eq!(&sha256(&answer.body), digest);
    }
    first.root().push_image("team/later", "v1");
    let gib = inspected["blob_bytes"].as_u64().expect("bytes") as f64 / f64::from(1 << 30);
    println!(
        "    E39: {} promises, {gib:.3} GiB: saved in {saving:?}, restored in {restoring:?}",
        acked.len()
    );
    assert!(restoring.as_secs_f64() < 600.0 * gib.max(0.1), "{restoring:?} for {gib} GiB");

    grow(first, &old, &acked);
}

/// Lets a restored node become a cluster of three, without the node of the old one.
fn grow(first: Server, old: &Server, acked: &[Promise]) {
    let mut grown = Cluster { nodes: vec![first] };
    // An old node is of another cluster, whatever token it is given.
    let token = grown.token(&[]);
    let refused = serve(&old.data_dir(), &["--join", &token]).assert_failure();
    assert!(refused.stderr.contains("belongs to another cluster"), "{}", refused.stderr);
    grown.join();
    grown.join();
    grown.wait_for_status("three voters with all copies", |status| {
        let is_grown =
            status["voters"] == 3 && status["blobs_under_copied"] == 0 && status["copies_wanted"] == 3;
        if is_grown { Ok(()) } else { Err(status.to_string()) }
    });
    for promise in acked {
        assert_eq!(check(&grown.nodes[2].root(), promise), Kept::Whole, "{promise:?}");
    }
}

/// Runs a node that ends by itself.
pub(crate) fn serve(data: &Path, arguments: &[&str]) -> Finished {
    let mut command = Command::new(binary());
    command.arg("serve").arg("--data-dir").arg(data).args(["--listen", "127.0.0.1:0"]);
    command.args(["--peer-listen", "127.0.0.1:0"]).args(arguments);
    finish(&mut command, b"", Duration::from_secs(120)).expect("it ends")
}

#[test]
fn a_damaged_backup_restores_nothing_and_missing_bytes_are_named() {
    let _alone = alone();
    let mut cluster = Cluster::start(1);
    let image = cluster.nodes[0].root().push_image("team/kept", "v1");
    let other = cluster.nodes[0].root().push_image("team/kept", "v2");
    let dir = tempfile::tempdir().expect("a directory");
    let (file, blobs) = (dir.path().join("shoal.backup"), dir.path().join("blobs"));
    save(&mut cluster, &file, &blobs);
    let whole = fs::read(&file).expect("read");
    let bad = dir.path().join("bad.backup");
    let empty = |name: &str| dir.path().join(name);
    for (place, at) in [0, 20, whole.len() / 2, whole.len() - 1].into_iter().enumerate() {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        fs::write(&bad, &altered).expect("written");
        shoal(&["backup", "inspect", text(&bad)]).assert_failure();
        let target = empty(&format!("bad{place}"));
        shoal(&["backup", "restore", text(&bad), "--data-dir", text(&target)]).assert_failure();
        assert!(!target.join("metadata").exists(), "byte {at}");
    }
    fs::write(&bad, &whole[..whole.len() - 7]).expect("written");
    let cut = shoal(&["backup", "inspect", text(&bad)]).assert_failure();
    assert!(cut.stderr.contains("cut off"), "{}", cut.stderr);

    // One blob's file is damaged: it is not taken for the blob.
    let damaged = sha256(&image.layer);
    let hex = damaged.trim_start_matches("sha256:");
    fs::write(blobs.join("sha256").join(&hex[..2]).join(hex), b"other bytes").expect("written");
    let mut server = without_data();
    let data = server.data_dir();
    let restored = shoal(&[
        "backup",
        "restore",
        text(&file),
        "--blobs",
        text(&blobs),
        "--data-dir",
        text(&data),
        "-o",
        "json",
    ])
    .assert_success();
    let restored: serde_json::Value = serde_json::from_slice(&restored.stdout).expect("a document");
    assert_eq!(restored["missing"], serde_json::json!([damaged]));
    server.restart();
    let client = server.root();
    client.get(format!("/v2/team/kept/blobs/{damaged}")).send().assert_status(503);
    let there = client.get(format!("/v2/team/kept/blobs/{}", sha256(&other.layer))).send();
    assert_eq!(there.body, other.layer);
    assert_eq!(client.tags("team/kept"), ["v1", "v2"]);
    // Pushing it again heals it.
    client.push_blob("team/kept", &image.layer);
    let healed = client.get(format!("/v2/team/kept/blobs/{damaged}")).send();
    assert_eq!(healed.body, image.layer);
}

#[test]
fn a_backup_needs_a_login() {
    let _alone = alone();
    let server = Server::start(ServerOptions::default());
    let digest = server.root().push_blob("team/secret", b"bytes");
    for path in ["/api/v1/backup".to_owned(), format!("/api/v1/backup/blobs/{digest}")] {
        server.anonymous().get(&path).send().assert_status(401);
    }
    server.root().get("/api/v1/backup/blobs/hello").send().assert_status(400);
    let unknown = format!("/api/v1/backup/blobs/{}", sha256(b"nothing"));
    server.root().get(unknown).send().assert_status(404);
}

/// The file of a blob's copy.
fn copy_file(data: &Path, digest: &str) -> PathBuf {
    let hex = digest.trim_start_matches("sha256:");
    let shard = data.join("blobs/blobs/sha256").join(&hex[..2]);
    let mut files = fs::read_dir(shard).expect("a shard").map(|entry| entry.expect("an entry").path());
    let is_it = |path: &PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        name.starts_with(hex) && !name.ends_with(".pieces")
    };
    files.find(is_it).expect("a copy")
}

/// E40.
#[test]
fn the_only_survivor_of_three_becomes_a_cluster_when_it_is_told_to() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let client = cluster.nodes[0].root();
    let images: Vec<_> = (0..10).map(|place| client.push_image("team/last", &format!("v{place}"))).collect();
    cluster.wait_for_status("all copies to be made", |status| {
        if status["blobs_under_copied"] == 0 { Ok(()) } else { Err(status.to_string()) }
    });
    let old_cluster =
        cluster.wait_for_status("an id", |status| Ok::<_, String>(status["cluster_id"].clone()));
    let mut lost: Vec<Server> = cluster.nodes.drain(1..).collect();
    lost.iter_mut().for_each(Server::kill9);
    let survivor = &mut cluster.nodes[0];
    wait_until("reads by tag to be refused", PATIENCE, || {
        survivor.root().get("/v2/team/last/manifests/v1").send().status == 503
    });
    let by_digest = format!("/v2/team/last/blobs/{}", sha256(&images[0].layer));
    assert_eq!(survivor.root().get(&by_digest).send().body, images[0].layer);
    let data = survivor.data_dir();
    let recover = ["recover", "--data-dir", text(&data), "-o", "json"];
    let running = shoal(&recover).assert_failure();
    assert!(running.stderr.contains("in use by another shoal process"), "{}", running.stderr);
    survivor.stop();
    // What only the lost nodes had.
    let gone = sha256(&images[3].layer);
    fs::remove_file(copy_file(&data, &gone)).expect("removed");
    let asked = shoal(&recover).assert_failure();
    assert!(asked.stderr.contains("nothing was changed"), "{}", asked.stderr);
    let shown: serde_json::Value = serde_json::from_slice(&asked.stdout).expect("a document");
    assert_eq!(
        (&shown["lost_blobs"], &shown["cluster_id"]),
        (&serde_json::json!([gone]), &serde_json::Value::Null)
    );
    let done = shoal(&[&recover[..], &["--accept-data-loss"]].concat()).assert_success();
    let done: serde_json::Value = serde_json::from_slice(&done.stdout).expect("a document");
    assert_eq!(done["lost_blobs"], serde_json::json!([gone]));
    assert_eq!(done["left_behind"].as_array().map(Vec::len), Some(2), "{done}");
    assert_eq!(done["recovered_from"], old_cluster);
    let twice = shoal(&[&recover[..], &["--accept-data-loss"]].concat()).assert_failure();
    assert!(twice.stderr.contains("is its whole cluster"), "{}", twice.stderr);
    survivor.restart();
    let client = survivor.root();
    for (place, image) in images.iter().enumerate() {
        let tag = client.get(format!("/v2/team/last/manifests/v{place}")).send();
        tag.assert_status(200);
        assert_eq!(tag.body, image.manifest);
        let layer = client.get(format!("/v2/team/last/blobs/{}", sha256(&image.layer))).send();
        if place == 3 {
            layer.assert_status(503);
        } else {
            assert_eq!(layer.body, image.layer);
        }
    }
    client.put_manifest("team/last", "new", media_type::IMAGE, &images[0].manifest).assert_status(201);
    let status = operate(survivor, &["status", "-o", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("a document");
    assert_eq!((&status["cluster_id"], status["voters"].as_u64()), (&done["cluster_id"], Some(1)));
    // A node that comes back after all is of the old cluster.
    let token = cluster.token(&[]);
    let refused = serve(&lost[0].data_dir(), &["--join", &token]).assert_failure();
    assert!(refused.stderr.contains("belongs to another cluster"), "{}", refused.stderr);
    cluster.join();
    cluster.join();
    cluster.wait_for_status("three voters", |status| {
        if status["voters"] == 3 { Ok(()) } else { Err(status.to_string()) }
    });
}
