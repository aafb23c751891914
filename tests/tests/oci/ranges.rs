//! `Range` on blobs and manifests (checklist §4, P20 to P34).

use std::sync::OnceLock;

use crate::root;
use tests::content::unique_bytes;
use tests::raw::Answer;
use tests::registry::fresh_repository;

/// The path of one blob of 2048 bytes, and the bytes.
fn blob() -> &'static (String, Vec<u8>) {
    static BLOB: OnceLock<(String, Vec<u8>)> = OnceLock::new();
    BLOB.get_or_init(|| {
        let repository = fresh_repository("ranges");
        let bytes = unique_bytes(2048);
        let digest = root().push_blob(&repository, &bytes);
        (format!("/v2/{repository}/blobs/{digest}"), bytes)
    })
}

fn ask(range: &str) -> Answer {
    root().get(&blob().0).header("Range", range).send()
}

fn assert_whole(answer: &Answer) {
    answer.assert_status(200);
    assert_eq!(answer.header("content-range"), None, "P33");
    assert_eq!(answer.body, blob().1);
}

#[test]
fn one_range_is_answered_with_its_bytes() {
    // P20, P21, P22, P23, P26, P29
    let rows = [
        ("bytes=500-1499", 500..1500),
        ("bytes=500-", 500..2048),
        ("bytes=-500", 1548..2048),
        ("bytes=2000-5000", 2000..2048),
        ("bytes=0-1", 0..2),
        ("bytes=2047-2047", 2047..2048),
        ("bytes=0-0", 0..1),
        ("bytes=-1", 2047..2048),
        ("bytes=-5000", 0..2048),
        ("bytes=0-99999999999999999999", 0..2048),
    ];
    for (range, expected) in rows {
        let answer = ask(range);
        if range == "bytes=-5000" && answer.status == 200 {
            assert_whole(&answer);
            continue;
        }
        answer.assert_status(206);
        let content_range = format!("bytes {}-{}/2048", expected.start, expected.end - 1);
        assert_eq!(answer.header("content-range"), Some(content_range.as_str()), "{range}");
        assert_eq!(answer.header("content-length"), Some(expected.len().to_string().as_str()), "{range}");
        assert_eq!(answer.header("content-type"), Some("application/octet-stream"), "P33");
        assert_eq!(answer.body, blob().1[expected], "{range}");
    }
}

#[test]
fn ranges_outside_the_blob_are_416_with_its_size() {
    // P25, P29
    for range in ["bytes=5000-10000", "bytes=2048-", "bytes=2048-2049", "bytes=-0"] {
        let answer = ask(range);
        answer.assert_status(416);
        assert_eq!(answer.header("content-range"), Some("bytes */2048"), "{range}");
    }
}

#[test]
fn a_range_that_ends_before_it_begins_is_416_or_ignored() {
    // P24
    let answer = ask("bytes=500-0");
    assert!(matches!(answer.status, 200 | 416), "{}", answer.status);
    if answer.status == 200 {
        assert_whole(&answer);
    }
}

#[test]
fn several_ranges_come_as_multipart_each_with_its_headers() {
    // P27
    let answer = ask("bytes=0-9,100-109, -5");
    answer.assert_status(206);
    assert_eq!(answer.header("content-range"), None);
    let content_type = answer.header("content-type").expect("a type");
    let boundary =
        content_type.strip_prefix("multipart/byteranges; boundary=").expect("multipart").trim_matches('"');
    let bytes = &blob().1;
    let mut expected = Vec::new();
    for (start, end) in [(0, 9), (100, 109), (2043, 2047)] {
        let head = format!(
            "--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {start}-{end}/2048\r\n\r\n"
        );
        expected.extend_from_slice(head.as_bytes());
        expected.extend_from_slice(&bytes[start..=end]);
        expected.extend_from_slice(b"\r\n");
    }
    expected.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let lower = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase();
    let found = lower(&answer.body);
    // A line break before the first boundary is allowed, and so is none after the last one.
    assert_eq!(found.trim_matches(['\r', '\n']), lower(&expected).trim_matches(['\r', '\n']));
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()), "H5");
}

#[test]
fn too_many_or_overlapping_ranges_get_the_whole_blob() {
    // P28: at the limit, one above, overlapping, descending
    let list = |count: usize| {
        let parts: Vec<String> = (0..count).map(|part| format!("{}-{}", part * 4, part * 4 + 1)).collect();
        format!("bytes={}", parts.join(","))
    };
    let at_limit = ask(&list(256));
    at_limit.assert_status(206);
    assert_eq!(String::from_utf8_lossy(&at_limit.body).matches("/2048").count(), 256);
    assert_whole(&ask(&list(257)));
    assert_whole(&ask("bytes=0-100,50-150"));
    assert_whole(&ask("bytes=0-,0-,0-,0-"));
    let descending = ask("bytes=100-109,0-9");
    assert!(matches!(descending.status, 200 | 206), "{}", descending.status);
}

#[test]
fn a_list_with_one_satisfiable_range_is_served() {
    // RFC 9110 14.2: a set is satisfiable when one of its ranges is
    let answer = ask("bytes=5000-6000,0-9");
    assert!(matches!(answer.status, 200 | 206), "{}", answer.status);
    if answer.header("content-range").is_some() {
        assert_eq!(answer.body, blob().1[..10]);
    }
}

#[test]
fn ranges_on_an_empty_blob_do_not_panic() {
    // P29
    let repository = fresh_repository("ranges");
    let digest = root().push_blob(&repository, b"");
    for range in ["bytes=0-0", "bytes=0-", "bytes=-1", "bytes=-0", "bytes=0-1,3-4"] {
        let answer = root().get(format!("/v2/{repository}/blobs/{digest}")).header("Range", range).send();
        assert!(matches!(answer.status, 200 | 416), "{range}: {}", answer.status);
        if answer.status == 200 {
            assert!(answer.body.is_empty());
        }
    }
}

#[test]
fn a_range_holds_only_if_the_etag_does() {
    // P31
    let (path, _) = blob();
    let digest = path.rsplit('/').next().expect("a digest");
    let same =
        root().get(path).header("Range", "bytes=0-1").header("If-Range", format!("\"{digest}\"")).send();
    same.assert_status(206);
    for other in ["\"sha256:0\"", "Wed, 21 Oct 2015 07:28:00 GMT", "W/\"x\""] {
        assert_whole(&root().get(path).header("Range", "bytes=0-1").header("If-Range", other).send());
    }
}

#[test]
fn ranges_that_cannot_be_read_are_ignored() {
    // P34
    for range in [
        "items=0-1",
        "bytes",
        "bytes=",
        "bytes=abc",
        "bytes=1-2-3",
        "bytes=--1",
        "bytes 0-1",
        "0-1",
        "bytes=0x1-2",
    ] {
        assert_whole(&ask(range));
    }
}

#[test]
fn head_with_a_range_has_no_body() {
    let answer = root().head(&blob().0).header("Range", "bytes=0-1").send();
    assert!(matches!(answer.status, 200 | 206), "{}", answer.status);
    assert!(answer.body.is_empty());
}

#[test]
fn a_range_on_a_manifest_keeps_its_type() {
    // P32
    let repository = fresh_repository("ranges");
    let image = root().push_image(&repository, "v1");
    for range in ["bytes=0-", "bytes=0-9", "bytes=0-1,4-5"] {
        let answer = root().get(format!("/v2/{repository}/manifests/v1")).header("Range", range).send();
        assert!(matches!(answer.status, 200 | 206), "{}", answer.status);
        assert_eq!(answer.header("content-type"), Some(tests::content::media_type::IMAGE));
        match answer.status {
            200 => assert_eq!(answer.body, image.manifest),
            _ => assert!(image.manifest.starts_with(&answer.body)),
        }
    }
}

#[test]
fn parallel_ranges_put_together_are_the_blob() {
    // C6, C21: many connections, each a part of a blob past one piece
    let repository = fresh_repository("ranges");
    let bytes = unique_bytes(3 << 20);
    let digest = root().push_blob(&repository, &bytes);
    let path = format!("/v2/{repository}/blobs/{digest}");
    let part = 200_001;
    let parts: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let starts: Vec<usize> = (0..bytes.len()).step_by(part).collect();
        let fetches: Vec<_> = starts
            .into_iter()
            .map(|start| {
                let range = format!("bytes={start}-{}", start + part - 1);
                let path = &path;
                scope.spawn(move || root().get(path).header("Range", range).send())
            })
            .collect();
        fetches.into_iter().map(|fetch| fetch.join().expect("a part")).map(|answer| answer.body).collect()
    });
    assert!(parts.concat() == bytes, "the parts are not the blob");
}
