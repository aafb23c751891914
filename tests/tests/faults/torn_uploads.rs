//! E5, open uploads: their files are cut and changed while the node is down. The node starts; a session is gone,
//! shorter, or as it was, and what it ends in is exactly what its digest names, or nothing.

use std::fs;
use std::path::Path;

use tests::content::{sha256, unique_bytes};
use tests::registry::with_query;

use crate::node::Place;
use crate::wound::{Wound, copy_all, inflict};
use crate::{alone, report, size};

const REPOSITORY: &str = "torn/uploads";
/// Bytes that one entry of a piece list stands for.
const LEAF: u64 = 256 << 10;
/// Sessions: with two leaves and a part, with part of one, and without a byte.
const LENGTHS: [usize; 3] = [700 << 10, 9000, 0];

/// A session as its client knows it.
struct Session {
    location: String,
    content: Vec<u8>,
    sent: usize,
}

#[test]
fn damaged_files_of_open_uploads_never_lead_to_wrong_blobs() {
    let _alone = alone();
    let place = Place::new();
    let (node, root) = (place.start(), place.root());
    let sessions: Vec<Session> = LENGTHS
        .iter()
        .map(|sent| {
            let (location, content) = (root.start_upload(REPOSITORY), unique_bytes(sent + 5000));
            if *sent > 0 {
                root.patch(&location).body(&content[..*sent]).send().assert_status(202);
            }
            Session { location, content, sent: *sent }
        })
        .collect();
    let kept = root.push_blob(REPOSITORY, b"kept");
    node.kill();

    let (mut points, mut finished, mut gone) = (0, 0, 0);
    for (file, wound) in wounds(&place.data.join("blobs/uploads")) {
        let copy = Place::new();
        copy_all(&place.data, &copy.data);
        inflict(&copy.data.join("blobs/uploads").join(&file), wound);
        points += 1;
        let node = copy.start();
        for session in &sessions {
            if finish(&copy, session, wound) { finished += 1 } else { gone += 1 }
        }
        copy.root().get(format!("/v2/{REPOSITORY}/blobs/{kept}")).send().assert_status(200);
        assert!(!node.log().contains("panicked"), "{file} {wound:?}: {}", node.log());
    }
    report(
        "E5",
        &format!(
            "uploads: {points} points: {finished} sessions went on to the right blob, {gone} were gone or refused, 0 wrong"
        ),
    );
    // Most wounds hit one session of three.
    assert!(finished > points && gone > 0, "{finished} finished, {gone} gone");
}

/// Every file of a session, with what happens to it.
fn wounds(uploads: &Path) -> Vec<(String, Wound)> {
    let mut wounds = Vec::new();
    for file in fs::read_dir(uploads).expect("the uploads").flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let len = file.metadata().expect("a file").len();
        let step = (len / size(3, 60) as u64).max(1);
        let places =
            (0..len).step_by(step as usize).chain([32, LEAF - 1, LEAF, LEAF + 1, len.saturating_sub(1)]);
        let at_places = places.filter(|at| *at < len).flat_map(|at| [Wound::Flip(at), Wound::Cut(at)]);
        let all = at_places.chain([Wound::Append(1), Wound::Append(5000), Wound::Remove]);
        wounds.extend(all.map(|wound| (name.clone(), wound)));
    }
    wounds.into_iter().step_by(size(3, 1)).collect()
}

/// Goes on where the node says the session stands, and closes it. True if that made the blob; false if the node
/// refused. Checks that it says nothing untrue.
fn finish(place: &Place, session: &Session, wound: Wound) -> bool {
    let root = place.root();
    let status = root.get(&session.location).send();
    if status.status != 204 {
        status.assert_refused(&[404, 503]);
        return false;
    }
    let range = status.header("range").unwrap_or_default();
    let last: usize = range.rsplit('-').next().and_then(|text| text.parse().ok()).expect("a range");
    // 0-0 stands for nothing as well as for one byte: then begin at nothing, and take a refusal.
    let offset = if last == 0 { 0 } else { last + 1 };
    // Garbage at the end counts until the digest is checked; no crash leaves any.
    let is_true = offset <= session.sent || matches!(wound, Wound::Append(_));
    assert!(is_true, "{range}, but only {} were sent", session.sent);
    let digest = sha256(&session.content);
    let rest = &session.content[offset..];
    let chunk = root
        .patch(&session.location)
        .header("Content-Range", format!("{offset}-{}", session.content.len() - 1));
    let appended = chunk.body(rest).send();
    let closed = match appended.status {
        202 => root.put(with_query(&session.location, &format!("digest={digest}"))).send(),
        _ => appended,
    };
    if closed.status != 201 {
        closed.assert_refused(&[400, 404, 416, 503]);
        return false;
    }
    let pulled = root.get(format!("/v2/{REPOSITORY}/blobs/{digest}")).send();
    pulled.assert_status(200);
    assert!(pulled.body == session.content, "another blob than its digest names");
    true
}
