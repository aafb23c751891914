//! Edges: they follow without a vote or a share, pass changes on, and go on when they are cut off
//! (consistency promises 7, 20 to 23, invariant I20).

use std::time::{Duration, Instant};

use tests::cluster::{Cluster, PATIENCE, id_of, operate};
use tests::content::{media_type, sha256, unique_bytes};
use tests::http::Client;
use tests::raw::Answer;
use tests::registry::Image;
use tests::{Server, wait_until};

use crate::alone;

fn tag(node: &Server, image: &Image, tag: &str) -> Answer {
    node.root().get(format!("/v2/{}/manifests/{tag}", image.repository)).send()
}

/// Reads everything of `image` by digest.
fn assert_content(node: &Server, image: &Image) {
    let manifest = tag(node, image, &image.digest);
    manifest.assert_status(200);
    assert_eq!(manifest.body, image.manifest);
    assert_eq!(manifest.header("warning"), None, "content cannot be stale");
    for bytes in [&image.config, &image.layer] {
        let path = format!("/v2/{}/blobs/{}", image.repository, sha256(bytes));
        let blob = node.root().get(path).send();
        blob.assert_status(200);
        assert_eq!(&blob.body, bytes);
    }
}

fn assert_stale(answer: &Answer, status: u16) -> u64 {
    answer.assert_status(status);
    assert_eq!(answer.header("warning"), Some("299 - \"stale\""));
    let age = answer.header("age").expect("an age");
    age.parse().expect("whole seconds")
}

/// Refused at once, with a time to try again.
fn assert_cut_off(answer: impl FnOnce() -> Answer) {
    let began = Instant::now();
    let answer = answer();
    answer.assert_error(503, "UNAVAILABLE");
    assert!(answer.header("retry-after").is_some());
    // 2 s are promised; a busy machine may take longer, a hang is the defect.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

const SCOPES: [&str; 1] = ["repository:team/store:pull"];

/// Asks for the tag `v1` with a bearer token; the status of the answer.
fn status_with(token: &str, node: &Server) -> u16 {
    Client::bearer(node.host(), token).get("/v2/team/store/manifests/v1").send().status
}

fn nodes(cluster: &mut Cluster) -> serde_json::Value {
    let answer = cluster.operate(&["node", "list", "--output", "json"]);
    serde_json::from_slice(&answer.stdout).expect("a document")
}

fn metric(node: &Server, name: &str) -> Option<u64> {
    let metrics = String::from_utf8_lossy(&node.root().get("/metrics").send().body).into_owned();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.parse().ok()
}

#[test]
fn an_edge_serves_and_takes_images_without_a_vote_or_a_share() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let edge = cluster.join_edge(&[]);
    let id = id_of(&edge).expect("an id");
    let image = cluster.nodes[1].root().push_image("team/far", "v1");
    let pulled = tag(&edge, &image, "v1");
    pulled.assert_status(200);
    assert_eq!((pulled.header("warning"), pulled.header("age")), (None, None), "linked: nothing is stale");
    assert_content(&edge, &image);
    // A tag that moves is seen by the next read through the edge, many times over.
    for round in 0..20 {
        let moved = cluster.nodes[round % 3].root().push_image("team/far", "moving");
        assert_eq!(tag(&edge, &moved, "moving").body, moved.manifest, "round {round}");
    }
    // Pushes go to the leader, in one request and in parts; deletes too.
    let pushed = edge.root().push_image("team/edge", "v1");
    let bytes = unique_bytes(3 << 20);
    let location = edge.root().start_upload("team/edge");
    edge.root().patch(&location).body(&bytes[..1 << 20]).send().assert_status(202);
    let digest = sha256(&bytes);
    let end = format!("{location}{}digest={digest}", if location.contains('?') { '&' } else { '?' });
    edge.root().put(end).body(&bytes[1 << 20..]).send().assert_status(201);
    for node in cluster.nodes.iter().chain([&edge]) {
        assert_content(node, &pushed);
        assert_eq!(node.root().get(format!("/v2/team/edge/blobs/{digest}")).send().body, bytes);
    }
    edge.root().delete("/v2/team/far/manifests/moving").send().assert_status(202);
    tag(&edge, &image, "moving").assert_error(404, "MANIFEST_UNKNOWN");
    // It pulled and was pushed to, and is neither a home nor a voter.
    cluster.wait_for_status("all copies to be made", |status| {
        let figures = (&status["blobs_under_copied"], &status["voters"], &status["zones"]);
        if figures == (&0.into(), &3.into(), &3.into()) { Ok(()) } else { Err(status.to_string()) }
    });
    let listed = nodes(&mut cluster);
    let listed = listed["nodes"].as_array().expect("nodes");
    let own = listed.iter().find(|node| node["id"] == id.as_str()).expect("the edge");
    assert_eq!((&own["kind"], &own["role"], &own["copies"]), (&"edge".into(), &"learner".into(), &0.into()));
    assert!(metric(&edge, "shoal_edge_contact_age_seconds").is_some_and(|age| age < 20));
    assert_eq!(metric(&cluster.nodes[0], "shoal_edge_contact_age_seconds"), None);
}

#[test]
fn an_edge_that_is_cut_off_serves_what_it_knows_as_its_site_allows() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let mut open = cluster.join_edge(&["--stale-tags"]);
    let closed = cluster.join_edge(&[]);
    let image = cluster.nodes[0].root().push_image("team/store", "v1");
    [&open, &closed].into_iter().for_each(|edge| assert_content(edge, &image));
    // The last thing before the end: what was shown must be shown again after a crash.
    let last = cluster.nodes[0].root().push_image("team/store", "v1");
    for edge in [&open, &closed] {
        assert_eq!(tag(edge, &last, "v1").body, last.manifest);
        assert_content(edge, &last);
    }
    let issued = open.root().token(&SCOPES);
    assert_eq!([&open, &closed, &cluster.nodes[2]].map(|node| status_with(&issued, node)), [200; 3]);
    cluster.nodes.iter_mut().for_each(Server::kill9);
    let before = assert_stale(&tag(&open, &last, "v1"), 200);
    assert_stale(&tag(&open, &last, "absent"), 404);
    let listed = open.root().get("/v2/team/store/tags/list").send();
    assert_stale(&listed, 200);
    // Nobody else is there to sign a token: the edge does, for itself.
    let signed_here = open.root().token(&SCOPES);
    assert_eq!([&issued, &signed_here].map(|token| status_with(token, &open)), [200; 2]);
    assert_eq!(status_with(&signed_here, &closed), 401);
    assert_cut_off(|| tag(&closed, &last, "v1"));
    for edge in [&open, &closed] {
        assert_content(edge, &image);
        assert_content(edge, &last);
        assert_cut_off(|| edge.root().post("/v2/team/store/blobs/uploads/").send());
        assert_cut_off(|| edge.root().put_manifest("team/store", "v2", media_type::IMAGE, &image.manifest));
        assert_cut_off(|| edge.root().delete("/v2/team/store/manifests/v1").send());
    }
    wait_until("the age to grow", PATIENCE, || assert_stale(&tag(&open, &last, "v1"), 200) > before);
    // A crash while cut off: the same view again (I20), no younger than it is.
    open.kill9();
    open.restart();
    let restarted = tag(&open, &last, "v1");
    let after = assert_stale(&restarted, 200);
    assert_eq!(restarted.body, last.manifest);
    assert!(after >= before, "{after} s after {before} s");
    assert_content(&open, &last);
    assert!(metric(&open, "shoal_edge_contact_age_seconds").is_some_and(|age| age >= before));
    let status = operate(&open, &["status"]);
    let shown = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.status.success() && shown.contains("NO:"), "{shown}");
    // The cluster is back.
    std::thread::scope(|scope| {
        for node in &mut cluster.nodes {
            scope.spawn(|| node.restart());
        }
    });
    for edge in [&open, &closed] {
        wait_until("the edge to be linked again", PATIENCE, || {
            let answer = tag(edge, &last, "v1");
            answer.status == 200 && answer.header("warning").is_none()
        });
    }
    for node in cluster.nodes.iter().chain([&closed]) {
        assert_eq!(status_with(&signed_here, node), 401, "an edge speaks for itself only");
        assert_eq!(status_with(&issued, node), 200);
    }
    let next = open.root().push_image("team/store", "v1");
    assert_eq!(tag(&closed, &next, "v1").body, next.manifest);
    println!("    promise 22: age {before} s when cut off, {after} s after a crash");
}

#[test]
fn limits_of_an_edge_end_what_it_serves() {
    let _alone = alone();
    let mut cluster = Cluster::start(1);
    // Control: the same with limits far away is the test above.
    let strict = cluster.join_edge(&["--stale-tags", "--max-policy-age", "0s"]);
    let short = cluster.join_edge(&["--stale-tags", "--max-stale", "2s"]);
    let image = cluster.nodes[0].root().push_image("team/limits", "v1");
    for edge in [&strict, &short] {
        assert_eq!(tag(edge, &image, "v1").body, image.manifest);
        assert_content(edge, &image);
    }
    cluster.nodes[0].kill9();
    assert_cut_off(|| tag(&strict, &image, &image.digest));
    assert_cut_off(|| tag(&strict, &image, "v1"));
    wait_until("tags to be too old", PATIENCE, || tag(&short, &image, "v1").status == 503);
    assert_content(&short, &image);
    cluster.nodes[0].restart();
    wait_until("the edge to serve again", PATIENCE, || tag(&strict, &image, &image.digest).status == 200);
}

#[test]
fn who_names_an_index_is_answered_from_no_older_state() {
    let _alone = alone();
    let mut cluster = Cluster::start(1);
    let edge = cluster.join_edge(&["--stale-tags"]);
    let image = Image::new("team/index");
    cluster.nodes[0].root().push_blobs_of(&image);
    let put = cluster.nodes[0].root().put_manifest("team/index", "v1", media_type::IMAGE, &image.manifest);
    put.assert_status(201);
    let index: u64 = put.header("shoal-index").expect("an index").parse().expect("a number");
    let ask = |index: &str| {
        let path = format!("/v2/team/index/manifests/{}", image.digest);
        edge.root().get(path).header("shoal-min-index", index).send()
    };
    let answer = ask(&index.to_string());
    answer.assert_status(200);
    let seen: u64 = answer.header("shoal-index").expect("an index").parse().expect("a number");
    assert!(seen >= index, "{seen} < {index}");
    // What nobody wrote yet is not waited for without an end.
    assert_cut_off(|| ask("18446744073709551615"));
    for wrong in ["", "-1", "+1", "1e3", "0x10", "18446744073709551616", "000000000000000000001", "1,2"] {
        assert_eq!(ask(wrong).status, 400, "{wrong:?}");
    }
}
