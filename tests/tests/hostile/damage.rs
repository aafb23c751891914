//! Stored files that were changed behind the node's back: XU18 and XU19 of `specs/hostile-inputs.md`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::own_server;
use tests::Server;
use tests::content::unique_bytes;
use tests::raw::{Answer, Connection};
use tests::registry::fresh_repository;

/// The file that holds exactly `bytes`, wherever it lies.
fn file_of(directory: &Path, bytes: &[u8]) -> Option<PathBuf> {
    for entry in fs::read_dir(directory).ok()?.flatten() {
        let path = entry.path();
        let found = if path.is_dir() {
            file_of(&path, bytes)
        } else {
            let same = entry.metadata().is_ok_and(|meta| meta.len() == bytes.len() as u64);
            (same && fs::read(&path).is_ok_and(|found| found == bytes)).then_some(path)
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// A node with a blob, the blob's bytes, digest and file.
fn stored(size: usize) -> (Server, String, Vec<u8>, PathBuf) {
    let server = own_server();
    let repository = fresh_repository("damage");
    let bytes = unique_bytes(size);
    let digest = server.root().push_blob(&repository, &bytes);
    let file = file_of(&server.data_dir(), &bytes).expect("a file with the blob's bytes");
    (server, format!("/v2/{repository}/blobs/{digest}"), bytes, file)
}

/// Reads a blob; the answer may be cut, which the flag `complete` tells.
fn get(server: &Server, path: &str) -> std::io::Result<Answer> {
    let request = server.root().get(path).bytes();
    Connection::open(server.host())?.exchange("GET", &request)
}

/// Checks that no wrong byte was given out as a whole blob.
fn assert_never_wrong(answer: std::io::Result<Answer>, bytes: &[u8]) -> u16 {
    let Ok(answer) = answer else { return 0 };
    if answer.status == 200 {
        assert!(!answer.complete || answer.body == bytes, "wrong bytes as a whole answer");
        assert!(bytes.starts_with(&answer.body), "a wrong byte went out");
    } else {
        answer.assert_error(503, "UNAVAILABLE");
    }
    answer.status
}

/// Pushes the blob again and checks that it is right from now on.
fn assert_healed(server: &Server, path: &str, bytes: &[u8]) {
    let head = server.root().head(path).send();
    head.assert_bodyless(404);
    let repository = path.trim_start_matches("/v2/").split("/blobs/").next().expect("a repository");
    server.root().push_blob(repository, bytes);
    for _ in 0..3 {
        let answer = get(server, path).expect("an answer");
        answer.assert_status(200);
        assert!(answer.complete && answer.body == bytes);
    }
    server.root().head(path).send().assert_bodyless(200);
    server.root().assert_serves();
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).expect("the file");
    bytes[at] ^= 0x40;
    let writable = fs::metadata(file).expect("the file").permissions();
    let mut open = writable.clone();
    std::os::unix::fs::PermissionsExt::set_mode(&mut open, 0o600);
    fs::set_permissions(file, open).expect("permissions");
    fs::write(file, bytes).expect("written");
    fs::set_permissions(file, writable).expect("permissions");
}

#[test]
fn a_flipped_byte_is_never_served_and_a_push_heals_it() {
    // XU18: small, past one piece, and past many; first, middle, last byte
    for (size, at) in [(5000, 0), (5000, 4999), (700_000, 350_000), (5 << 20, (5 << 20) - 1)] {
        let (server, path, bytes, file) = stored(size);
        flip(&file, at);
        let first = assert_never_wrong(get(&server, &path), &bytes);
        let second = assert_never_wrong(get(&server, &path), &bytes);
        assert_eq!(second, 503, "after {first}: the damage is known");
        assert_healed(&server, &path, &bytes);
    }
}

#[test]
fn a_flipped_byte_is_found_after_a_restart() {
    // XU18
    let (mut server, path, bytes, file) = stored(300_000);
    server.stop();
    flip(&file, 150_000);
    server.restart();
    assert_never_wrong(get(&server, &path), &bytes);
    assert_eq!(assert_never_wrong(get(&server, &path), &bytes), 503);
    assert_healed(&server, &path, &bytes);
}

#[test]
fn a_blob_that_was_just_read_is_checked_again_when_its_file_changed() {
    // XU18 with warm caches
    let (server, path, bytes, file) = stored(400_000);
    assert_eq!(get(&server, &path).expect("an answer").body, bytes);
    flip(&file, 399_999);
    assert_never_wrong(get(&server, &path), &bytes);
    assert_never_wrong(get(&server, &path), &bytes);
    assert_healed(&server, &path, &bytes);
}

#[test]
fn ranges_of_a_damaged_blob_are_right_or_refused() {
    // XU18
    let (server, path, bytes, file) = stored(3 << 20);
    flip(&file, 2 << 20);
    for (start, end) in [(0, 9), (2 << 20, (2 << 20) + 9), ((3 << 20) - 10, (3 << 20) - 1)] {
        let request = server.root().get(&path).header("Range", format!("bytes={start}-{end}")).bytes();
        let connection = Connection::open(server.host()).expect("connect");
        if let Ok(answer) = connection.exchange("GET", &request) {
            assert!(matches!(answer.status, 206 | 503), "{}", answer.status);
            assert!(answer.status == 503 || bytes[start..=end].starts_with(&answer.body));
        }
    }
}

#[test]
fn files_that_are_no_longer_the_blob_are_bad_copies() {
    // XU19: empty, longer, gone, a link, a directory
    type Change = fn(&Path);
    let changes: [(&str, Change); 6] = [
        ("emptied", |file| fs::write(file, b"").expect("written")),
        ("cut", |file| fs::write(file, b"cut").expect("written")),
        ("longer", |file| {
            let longer = [fs::read(file).expect("read"), b"more".to_vec()].concat();
            fs::write(file, longer).expect("written");
        }),
        ("removed", |file| fs::remove_file(file).expect("removed")),
        ("linked", |file| {
            fs::remove_file(file).expect("removed");
            symlink("/etc/passwd", file).expect("a link");
        }),
        ("a directory", |file| {
            fs::remove_file(file).expect("removed");
            fs::create_dir(file).expect("a directory");
        }),
    ];
    for (name, change) in changes {
        let (server, path, bytes, file) = stored(10_000);
        change(&file);
        for _ in 0..2 {
            let answer = get(&server, &path);
            if let Ok(answer) = &answer {
                assert!(!answer.text().contains("root:"), "{name}: the link was followed");
            }
            assert_never_wrong(answer, &bytes);
        }
        assert_healed(&server, &path, &bytes);
    }
    assert!(Path::new("/etc/passwd").exists());
}

#[test]
fn a_link_to_the_right_bytes_is_not_followed_either() {
    // XU19
    let (server, path, bytes, file) = stored(10_000);
    let elsewhere = server.data_dir().parent().expect("a directory").join("copy");
    fs::rename(&file, &elsewhere).expect("moved");
    symlink(&elsewhere, &file).expect("a link");
    let answer = get(&server, &path).expect("an answer");
    answer.assert_error(503, "UNAVAILABLE");
    assert_healed(&server, &path, &bytes);
    assert_eq!(fs::read(elsewhere).expect("untouched"), bytes);
}
