//! Manifest texts that are not what they say: section 3 of `specs/hostile-inputs.md`, XM1 to XM4, XM7, XM10,
//! XM11, XM17.

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::{assert_alive, own_server, root};
use tests::content::{bytes_of, media_type, sha256, sha512};
use tests::raw::{Answer, Connection};
use tests::registry::{Image, fresh_repository};

/// An image whose blobs are there, and its manifest as text.
fn prepared() -> (Image, String) {
    let image = Image::new(&fresh_repository("documents"));
    root().push_blobs_of(&image);
    let text = String::from_utf8(image.manifest.clone()).expect("text");
    (image, text)
}

fn put(image: &Image, document: impl AsRef<[u8]>) -> Answer {
    root().put_manifest(&image.repository, "bad", media_type::IMAGE, document.as_ref())
}

fn assert_no_tag(image: &Image) {
    root().get(format!("/v2/{}/manifests/bad", image.repository)).send().assert_refused(&[404]);
    assert_alive();
}

#[test]
fn a_manifest_without_end_is_cut_at_the_limit() {
    // XM1, S1
    let server = own_server();
    let client = server.root();
    let before = server.usage();
    let head = |framing: &str| {
        format!(
            "PUT /v2/documents/big/manifests/v1 HTTP/1.1\r\nHost: x\r\n{}Content-Type: {}\r\n{framing}\r\n\r\n",
            client.authorization_line(),
            media_type::IMAGE
        )
    };
    // Declared: refused before the body.
    let mut declared = Connection::open(client.host()).expect("connect");
    declared.send(head("Content-Length: 1073741824").as_bytes()).expect("send");
    declared.answer("PUT").expect("an answer").assert_refused(&[413]);
    // Chunked: 1 GiB is offered, and refused after little more than the limit.
    let mut chunked = Connection::open(client.host()).expect("connect");
    chunked.send(head("Transfer-Encoding: chunked").as_bytes()).expect("send");
    let mut writer = chunked.stream().try_clone().expect("a handle");
    let sent = std::thread::scope(|scope| {
        let sending = scope.spawn(move || {
            let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
            (0..16_384).take_while(|_| writer.write_all(&chunk).is_ok()).count() * 0x10000
        });
        chunked.answer("PUT").expect("an answer").assert_refused(&[413]);
        let _ = chunked.stream().shutdown(Shutdown::Both);
        sending.join().expect("a count")
    });
    // Socket buffers on both sides hold what was sent beyond what was read.
    assert!(sent < 40 << 20, "{sent} bytes were taken");
    let after = server.usage();
    assert!(after.memory < before.memory + (24 << 20), "{before:?} {after:?}");
    client.assert_serves();
}

#[test]
fn deep_nesting_is_refused_quickly() {
    // XM2, V1
    let (image, text) = prepared();
    let deep = "[".repeat(100_000);
    let closed = format!("{deep}{}", "]".repeat(100_000));
    let objects = "{\"a\":".repeat(50_000);
    let with = |field: &str, value: &str| text.replacen('{', &format!("{{\"{field}\":{value},"), 1);
    for document in [
        deep.clone(),
        closed.clone(),
        objects,
        with("annotations", &closed),
        with("annotations", &format!("{{\"a\":{closed}}}")),
        with("x", &closed),
        text.replacen("\"config\":{", &format!("\"config\":{{\"data\":{closed},"), 1),
        text.replacen("\"layers\":[", &format!("\"layers\":[{closed},"), 1),
    ] {
        assert!(document.len() >= 100_000);
        let began = Instant::now();
        put(&image, &document).assert_error(400, "MANIFEST_INVALID");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    assert_no_tag(&image);
}

#[test]
fn a_key_twice_is_refused() {
    // XM3
    let (image, text) = prepared();
    let twice = |first: &str| text.replacen('{', &format!("{{{first},"), 1);
    for document in [
        twice("\"layers\":[]"),
        twice("\"config\":{}"),
        twice("\"mediaType\":\"application/x\""),
        twice("\"schemaVersion\":1"),
        twice("\"schemaVersion\":2"),
        twice("\"\\u006cayers\":[]"),
        twice(&format!("\"subject\":{{}},\"subject\":{{\"digest\":\"{}\"}}", sha256(b""))),
        text.replacen("\"layers\":[{", &format!("\"layers\":[{{\"digest\":\"{}\",", sha256(b"")), 1),
        text.replacen("\"config\":{", "\"config\":{\"size\":1,", 1),
        text.replacen("\"config\":{", "\"config\":{\"mediaType\":\"a/b\",", 1),
        twice("\"annotations\":{\"a\":\"1\",\"a\":\"2\"}"),
    ] {
        assert!(document.len() > text.len());
        put(&image, &document).assert_refused(&[400]);
    }
    assert_no_tag(&image);
}

#[test]
fn a_document_of_two_kinds_is_refused() {
    // XM4
    let (image, text) = prepared();
    let with = |text: &str, field: &str| text.replacen('{', &format!("{{\"{field}\":[],"), 1);
    for document in [
        with(&text, "manifests"),
        with(&text, "fsLayers"),
        with(&text, "history").replacen("history", "fsLayers", 1),
    ] {
        put(&image, &document).assert_error(400, "MANIFEST_INVALID");
    }
    let index = format!("{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"manifests\":[]}}", media_type::INDEX);
    for field in ["layers", "fsLayers", "config"] {
        let answer =
            root().put_manifest(&image.repository, "bad", media_type::INDEX, with(&index, field).as_bytes());
        answer.assert_refused(&[400]);
    }
    let nameless =
        |text: &str, media_type: &str| text.replace(&format!("\"mediaType\":\"{media_type}\","), "");
    let image_body = nameless(&text, media_type::IMAGE);
    let index_body = nameless(&index, media_type::INDEX);
    for (media_type, body) in [(media_type::INDEX, image_body), (media_type::IMAGE, index_body)] {
        root().put_manifest(&image.repository, "bad", media_type, body.as_bytes()).assert_refused(&[400]);
    }
    for (media_type, body) in [(media_type::INDEX, &text), (media_type::IMAGE, &index)] {
        root().put_manifest(&image.repository, "bad", media_type, body.as_bytes()).assert_refused(&[400]);
    }
    assert_no_tag(&image);
}

#[test]
fn sizes_that_are_none_are_refused() {
    // XM7
    let (image, text) = prepared();
    let right = format!("\"size\":{}", image.layer.len());
    assert!(text.contains(&right));
    for size in [
        "-1",
        "0",
        "9223372036854775808",
        "18446744073709551616",
        "1.5",
        "1e400",
        "2.048e3",
        "2048.0",
        "\"5\"",
        "NaN",
        "null",
        "true",
        "[]",
        "02048",
        "+2048",
    ] {
        let document = text.replace(&right, &format!("\"size\":{size}"));
        put(&image, &document).assert_refused(&[400]);
    }
    let lacking = text.replace(&format!(",{right}"), "").replace(&format!("{right},"), "");
    assert_ne!(lacking, text);
    put(&image, &lacking).assert_refused(&[400]);
    assert_no_tag(&image);
}

#[test]
fn bytes_that_are_no_utf8_json_are_refused() {
    // XM10
    let (image, text) = prepared();
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let with = |value: &[u8]| [b"{\"x\":\"", value, b"\",", &text.as_bytes()[1..]].concat();
    for document in [
        vec![0xFF, 0xFE],
        [b"\xEF\xBB\xBF", text.as_bytes()].concat(),
        [b"\xFF\xFE".to_vec(), utf16.clone()].concat(),
        utf16,
        with(b"\x00"),
        with(b"\xFF"),
        with(b"\xED\xA0\x80"),
        with(b"\\u0000"),
        with(b"\\ud800"),
        with(b"\\udc00\\ud800"),
        format!("{text}x").into_bytes(),
        format!("{text}{text}").into_bytes(),
        format!("{text}\0").into_bytes(),
        text.as_bytes()[..text.len() - 1].to_vec(),
    ] {
        put(&image, &document).assert_error(400, "MANIFEST_INVALID");
    }
    assert_no_tag(&image);
}

#[test]
fn accepted_bytes_are_never_written_anew() {
    // XM10, second half
    let (image, text) = prepared();
    let odd = text.replacen('{', "{\"\\u0078\" : \"\\u0001 \\ud83d\\udc1f \\/ é\",\n\t", 1);
    put(&image, &odd).assert_status(201);
    let answer = root().get(format!("/v2/{}/manifests/bad", image.repository)).send();
    assert_eq!(answer.body, odd.as_bytes());
    assert_alive();
}

#[test]
fn versions_and_types_of_other_times_are_refused() {
    // XM11
    let (image, text) = prepared();
    for version in ["1", "2.0", "\"2\"", "true", "3", "-2", "2e0", "null"] {
        let document = text.replace("\"schemaVersion\":2", &format!("\"schemaVersion\":{version}"));
        assert_ne!(document, text);
        put(&image, &document).assert_error(400, "MANIFEST_INVALID");
    }
    let signed = r#"{"schemaVersion":1,"name":"a","tag":"b","architecture":"amd64","fsLayers":[],"history":[],"signatures":[]}"#;
    for media_type in [
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/json",
        "text/html",
        "",
        "\u{e9}/x",
    ] {
        let answer = root().put_manifest(&image.repository, "bad", media_type, signed.as_bytes());
        answer.assert_refused(&[400, 415]);
        if media_type != "application/json" && !media_type.is_empty() {
            root()
                .put_manifest(&image.repository, "bad", media_type, text.as_bytes())
                .assert_refused(&[400, 415]);
        }
    }
    let nameless = text.replace(&format!("\"mediaType\":\"{}\",", media_type::IMAGE), "");
    assert_ne!(nameless, text);
    let untyped = root().put(format!("/v2/{}/manifests/bad", image.repository)).body(nameless).send();
    untyped.assert_refused(&[400, 415]);
    assert_no_tag(&image);
}

#[test]
fn a_digest_names_one_text_only() {
    // XM17
    let (image, text) = prepared();
    let spaced = text.replacen(':', ": ", 1);
    let by = |reference: &str, bytes: &str| {
        root().put_manifest(&image.repository, reference, media_type::IMAGE, bytes.as_bytes())
    };
    by(&sha256(text.as_bytes()), &spaced).assert_error(400, "DIGEST_INVALID");
    by(&sha512(text.as_bytes()), &spaced).assert_error(400, "DIGEST_INVALID");
    let mixed = sha256(text.as_bytes()).replace("sha256", "sha512");
    by(&mixed, &text).assert_error(400, "DIGEST_INVALID");
    for bytes in [&text, &spaced] {
        let digest = sha256(bytes.as_bytes());
        by(&digest, bytes).assert_status(201);
    }
    for bytes in [&text, &spaced] {
        let answer =
            root().get(format!("/v2/{}/manifests/{}", image.repository, sha256(bytes.as_bytes()))).send();
        assert_eq!(answer.body, bytes.as_bytes());
    }
    assert_alive();
}

#[test]
fn values_of_other_types_are_refused() {
    // V5: each known field with each JSON type that it cannot have
    let (image, text) = prepared();
    let original: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for field in ["config", "layers", "mediaType", "annotations", "subject", "artifactType"] {
        for value in ["5", "\"x\"", "[5]", "[null]", "true", "{\"a\":5}", "[[]]"] {
            let mut document = original.clone();
            let value: serde_json::Value = serde_json::from_str(value).expect("JSON");
            if field == "artifactType" && value.is_string() {
                continue;
            }
            document[field] = value;
            put(&image, bytes_of(&document)).assert_refused(&[400, 415]);
        }
    }
    assert_no_tag(&image);
}
