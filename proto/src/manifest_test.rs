//! What is accepted as a manifest, and the error of each hostile document.

use super::*;
use crate::digest::Algorithm;
use proptest::prelude::*;

fn digest() -> String {
    Digest::of(Algorithm::Sha256, b"{}").to_string()
}

fn image(extra: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_IMAGE}","config":{{"mediaType":"{OCI_EMPTY}","digest":"{0}","size":2}},"layers":[]{extra}}}"#,
        digest()
    )
}

fn parse(text: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse(Some(OCI_IMAGE), text.as_bytes())
}

#[test]
fn an_image_gives_its_blobs_subject_and_type() {
    let subject = format!(
        r#","artifactType":"application/x","subject":{{"mediaType":"{OCI_IMAGE}","digest":"{}","size":7}},"annotations":{{"a":"b"}}"#,
        digest()
    );
    let manifest = parse(&image(&subject)).expect("accepted");
    assert_eq!(manifest.blobs.len(), 1);
    assert_eq!(manifest.subject.map(|d| d.to_string()), Some(digest()));
    assert_eq!(manifest.artifact_type.as_deref(), Some("application/x"));
    assert_eq!(manifest.annotations.get("a").map(String::as_str), Some("b"));
}

#[test]
fn the_artifact_type_falls_back_to_the_config_of_an_image_only() {
    assert_eq!(parse(&image("")).expect("accepted").artifact_type.as_deref(), Some(OCI_EMPTY));
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[]}}"#);
    assert_eq!(Manifest::parse(Some(OCI_INDEX), index.as_bytes()).expect("accepted").artifact_type, None);
}

#[test]
fn the_media_type_comes_from_header_or_document() {
    let text = image("");
    for header in
        [None, Some("application/json"), Some(OCI_IMAGE), Some(&*format!("{OCI_IMAGE}; charset=utf-8"))]
    {
        assert!(Manifest::parse(header, text.as_bytes()).is_ok(), "{header:?}");
    }
    assert!(matches!(
        Manifest::parse(Some(OCI_INDEX), text.as_bytes()),
        Err(ManifestError::MediaTypeMismatch { .. })
    ));
    let bare = text.replace(&format!(r#""mediaType":"{OCI_IMAGE}","#), "");
    assert!(matches!(Manifest::parse(None, bare.as_bytes()), Err(ManifestError::UnsupportedMediaType(_))));
    let found = Manifest::parse(Some(OCI_IMAGE), bare.as_bytes()).expect("accepted");
    assert!(found.oddities.contains(&Oddity::NoMediaType));
}

#[test]
fn ambiguous_documents_are_refused() {
    for extra in [r#","manifests":[]"#, r#","fsLayers":[]"#] {
        assert!(matches!(parse(&image(extra)), Err(ManifestError::Ambiguous(_))), "{extra}");
    }
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[],"layers":[]}}"#);
    assert!(matches!(Manifest::parse(Some(OCI_INDEX), index.as_bytes()), Err(ManifestError::Ambiguous(_))));
}

#[test]
fn keys_given_twice_are_refused_at_every_depth() {
    for extra in [
        r#","layers":[]"#,
        r#","schemaVersion":2"#,
        r#","mediaType":"x/y""#,
        r#","annotations":{"a":"1","a":"2"}"#,
        r#","unknown":{"deep":[{"a":1,"\u0061":2}]}"#,
    ] {
        assert!(matches!(parse(&image(extra)), Err(ManifestError::Json(_))), "{extra}");
    }
}

#[test]
fn odd_json_is_refused() {
    let good = image("");
    for bad in [
        format!("{good}x"),
        format!("\u{feff}{good}"),
        format!("[{good}]"),
        image(r#","x":"\ud800""#),
        image(r#","x":"\u0000""#),
        image(r#","x":1e400"#),
        image(r#","x":NaN"#),
        "".into(),
        "null".into(),
    ] {
        assert!(matches!(parse(&bad), Err(ManifestError::Json(_))), "{bad:?}");
    }
    assert!(matches!(Manifest::parse(None, b"\xff\xfe{}"), Err(ManifestError::Json(_))));
    let deep = "[".repeat(1 << 20);
    assert!(matches!(parse(&image(&format!(r#","x":{deep}"#))), Err(ManifestError::Json(_))));
}

#[test]
fn schema_versions_other_than_two_are_refused() {
    for version in ["1", "2.0", "\"2\"", "true", "null"] {
        let text = image("").replace(r#""schemaVersion":2"#, &format!(r#""schemaVersion":{version}"#));
        assert!(parse(&text).is_err(), "{version}");
    }
}

#[test]
fn impossible_sizes_and_digests_are_refused() {
    for size in ["-1", "9223372036854775808", "1.5", "1e400", "\"5\"", "null"] {
        let text = image("").replace(r#""size":2"#, &format!(r#""size":{size}"#));
        assert!(parse(&text).is_err(), "{size}");
    }
    for bad in ["sha256:../../etc/x", "md5:abc", "", "sha256:"] {
        let text = image("").replace(&digest(), bad);
        assert!(matches!(parse(&text), Err(ManifestError::Digest { .. })), "{bad}");
    }
}

#[test]
fn the_size_limit_is_exact() {
    let padding = |total: usize| {
        let rest = total - image(r#","x":"""#).len();
        image(&format!(r#","x":"{}""#, "a".repeat(rest)))
    };
    assert!(parse(&padding(MAX_MANIFEST_BYTES)).is_ok());
    assert!(matches!(parse(&padding(MAX_MANIFEST_BYTES + 1)), Err(ManifestError::TooLarge)));
}

#[test]
fn foreign_layers_are_marked() {
    let layer = |kind: &str, urls: &str| {
        let layers = format!(r#""layers":[{{"mediaType":"{kind}","digest":"{}","size":1{urls}}}]"#, digest());
        let text = image("").replace(r#""layers":[]"#, &layers);
        parse(&text).expect("accepted").blobs[1].foreign
    };
    assert!(layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", ""));
    assert!(layer("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", ""));
    assert!(layer("application/x", r#","urls":["http://169.254.169.254/"]"#));
    assert!(!layer("application/x", ""));
}

proptest! {
    #[test]
    fn any_bytes_parse_without_panic(bytes: Vec<u8>) {
        let _ = Manifest::parse(None, &bytes);
    }

    #[test]
    fn a_mutated_image_parses_without_panic(at in 0usize..300, byte: u8) {
        let mut bytes = image(r#","annotations":{"a":"b"}"#).into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = Manifest::parse(Some(OCI_IMAGE), &bytes);
    }
}
