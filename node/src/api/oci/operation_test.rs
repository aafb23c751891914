//! The route table, row by row, and what hostile paths become.

use super::*;
use proptest::prelude::*;

const D: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
const ID: &str = "1-000102030405060708090a0b0c0d0e0f";

fn parse(method: Method, path: &str) -> Result<Operation, NoOperation> {
    Operation::parse(&method, path)
}

fn name(text: &str) -> RepositoryName {
    text.parse().expect("a name")
}

fn tag(text: &str) -> Reference {
    text.parse().expect("a reference")
}

#[test]
fn every_route_of_the_specification_is_found() {
    let digest: Digest = D.parse().expect("a digest");
    let rows = [
        (Method::GET, "/v2".to_owned(), Operation::Base),
        (Method::GET, "/v2/".into(), Operation::Base),
        (Method::GET, "/v2/_catalog".into(), Operation::Catalog),
        (Method::GET, "/v2/_oci/ext/discover".into(), Operation::Extensions(None)),
        (Method::GET, "/v2/a/b/_oci/ext/discover".into(), Operation::Extensions(Some(name("a/b")))),
        (Method::GET, "/v2/a/tags/list".into(), Operation::ListTags(name("a"))),
        (Method::GET, format!("/v2/a/referrers/{D}"), Operation::ListReferrers(name("a"), digest)),
        (
            Method::GET,
            format!("/v2/a/blobs/{D}"),
            Operation::ReadBlob { repository: name("a"), digest, head: false },
        ),
        (
            Method::HEAD,
            format!("/v2/a/blobs/{D}"),
            Operation::ReadBlob { repository: name("a"), digest, head: true },
        ),
        (Method::DELETE, format!("/v2/a/blobs/{D}"), Operation::DeleteBlob(name("a"), digest)),
        (Method::GET, "/v2/a/b/c/manifests/v1".into(), Operation::ReadManifest(name("a/b/c"), tag("v1"))),
        (Method::PUT, format!("/v2/a/manifests/{D}"), Operation::PutManifest(name("a"), tag(D))),
        (Method::DELETE, "/v2/a/manifests/v1".into(), Operation::DeleteManifest(name("a"), tag("v1"))),
        (Method::POST, "/v2/a/blobs/uploads/".into(), Operation::StartUpload(name("a"))),
        (Method::POST, "/v2/a/blobs/uploads".into(), Operation::StartUpload(name("a"))),
    ];
    for (method, path, expected) in rows {
        assert_eq!(parse(method, &path), Ok(expected), "{path}");
    }
    for (method, verb) in [
        (Method::GET, UploadVerb::Status),
        (Method::PATCH, UploadVerb::Append),
        (Method::PUT, UploadVerb::Finish),
        (Method::DELETE, UploadVerb::Cancel),
    ] {
        let found = parse(method, &format!("/v2/a/b/blobs/uploads/{ID}"));
        let id = ID.parse().ok();
        assert_eq!(found, Ok(Operation::Upload { repository: name("a/b"), id, verb }));
    }
}

#[test]
fn repositories_named_like_routes_are_read_from_the_right() {
    for repository in [
        "x/manifests/y",
        "x/blobs/uploads",
        "x/tags/list",
        "x/referrers",
        "blobs",
        "uploads",
        "blobs/uploads",
    ] {
        let found = parse(Method::GET, &format!("/v2/{repository}/manifests/v1"));
        assert_eq!(found, Ok(Operation::ReadManifest(name(repository), tag("v1"))));
        let found = parse(Method::POST, &format!("/v2/{repository}/blobs/uploads/"));
        assert_eq!(found, Ok(Operation::StartUpload(name(repository))));
        let found = parse(Method::GET, &format!("/v2/{repository}/tags/list"));
        assert_eq!(found, Ok(Operation::ListTags(name(repository))));
    }
}

#[test]
fn encodings_are_decoded_once() {
    let plain = parse(Method::GET, &format!("/v2/a/blobs/{D}"));
    assert_eq!(parse(Method::GET, &format!("/v2/a/blobs/{}", D.replace(':', "%3A"))), plain);
    assert_eq!(parse(Method::GET, "/v2/%5fcatalog"), Ok(Operation::Catalog));
    assert_eq!(parse(Method::GET, "/v2/a%252fb/tags/list"), Err(NoOperation::Name));
    assert_eq!(parse(Method::GET, "/v2/a%2fb/tags/list"), Ok(Operation::ListTags(name("a/b"))));
}

#[test]
fn hostile_paths_become_errors() {
    use NoOperation::{Digest, Method as WrongMethod, Name, NoSuchTag, NotFound, Tag};
    for (method, path, expected) in [
        (Method::GET, "/v2/../../../etc/passwd/manifests/x", Name),
        (Method::GET, "/v2/%2e%2e%2fa/manifests/x", Name),
        (Method::GET, "/v2/a%5c..%5cb/manifests/x", Name),
        (Method::GET, "/v2/a%00b/manifests/x", Name),
        (Method::GET, "/v2/a%0d%0ab/tags/list", Name),
        (Method::GET, "/v2//priv/tags/list", Name),
        (Method::GET, "/v2/./priv/tags/list", Name),
        (Method::GET, "/v2/_catalog/", NotFound),
        (Method::GET, "/V2/", NotFound),
        (Method::GET, "/v2x", NotFound),
        (Method::GET, "/v2/a/tags/list/", NotFound),
        (Method::GET, "/v2/a", NotFound),
        (Method::GET, "/v2/%ff/tags/list", NotFound),
        (Method::GET, "/v2/A/tags/list", Name),
        (Method::GET, "/v2/a/manifests/.bad", NoSuchTag),
        (Method::PUT, "/v2/a/manifests/.bad", Tag),
        (Method::GET, "/v2/a/manifests/sha256:x", Digest),
        (Method::GET, "/v2/a/blobs/sha256:..%2f..%2fx", NotFound),
        (Method::POST, "/v2/a/tags/list", WrongMethod("GET")),
        (Method::PATCH, "/v2/", WrongMethod("GET, HEAD")),
        (Method::PUT, "/v2/a/blobs/uploads/", WrongMethod("POST")),
        (Method::TRACE, "/v2/a/manifests/v1", WrongMethod("GET, HEAD, PUT, DELETE")),
    ] {
        assert_eq!(parse(method.clone(), path), Err(expected), "{method} {path}");
    }
}

#[test]
fn an_impossible_session_id_is_still_an_upload_operation() {
    for id in ["..", "x", "1-00", &"a".repeat(4000)] {
        let found = parse(Method::GET, &format!("/v2/a/blobs/uploads/{id}"));
        assert_eq!(
            found,
            Ok(Operation::Upload { repository: name("a"), id: None, verb: UploadVerb::Status })
        );
    }
}

proptest! {
    #[test]
    fn any_path_parses_without_panic(path in "/v2/\\PC{0,60}", bytes in "(/|%2f|%|a|blobs|uploads|manifests|tags|list|:|sha256){0,12}") {
        for method in [Method::GET, Method::PUT, Method::POST, Method::DELETE] {
            let _ = Operation::parse(&method, &path);
            let _ = Operation::parse(&method, &format!("/v2/{bytes}"));
        }
    }
}
