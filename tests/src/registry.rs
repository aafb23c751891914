//! What a test does with a registry: push, put, list, log in, and check that an error is a proper one.

use crate::content::{self, media_type, serial, sha256, unique_bytes};
use crate::http::Client;
use crate::raw::Answer;

/// Texts that no answer may hold: they tell of our inside.
const INSIDE: [&str; 8] =
    ["panicked", ".rs:", "RUST_BACKTRACE", "/tmp/", "/root/", "thread '", "os error", "No such file"];

/// Whether rows run in the numbers of the specification: `SHOAL_TEST_FULL=1`.
pub fn is_full_run() -> bool {
    std::env::var_os("SHOAL_TEST_FULL").is_some_and(|value| value == "1")
}

/// An image as a test pushed it.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its repository.
    pub repository: String,
    /// The configuration's bytes.
    pub config: Vec<u8>,
    /// The only layer's bytes.
    pub layer: Vec<u8>,
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The manifest's digest.
    pub digest: String,
}

impl Image {
    /// A fresh image for `repository`, not pushed yet.
    pub fn new(repository: &str) -> Self {
        let config =
            format!("{{\"architecture\":\"amd64\",\"os\":\"linux\",\"serial\":{}}}", serial()).into_bytes();
        let layer = unique_bytes(2048);
        let manifest = content::bytes_of(&content::image(&config, &[&layer]));
        let digest = sha256(&manifest);
        Self { repository: repository.to_owned(), config, layer, manifest, digest }
    }
}

/// A repository name that no other test uses; `area` is its first component.
pub fn fresh_repository(area: &str) -> String {
    format!("{area}/r{}", serial())
}

impl Client {
    /// Pushes a blob with one request and returns its digest.
    ///
    /// # Panics
    /// Unless the answer is 201.
    pub fn push_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = sha256(bytes);
        let answer = self.post(format!("/v2/{repository}/blobs/uploads/?digest={digest}")).body(bytes).send();
        answer.assert_status(201);
        digest
    }

    /// Opens an upload session and returns its location.
    ///
    /// # Panics
    /// Unless the answer is 202 with a location.
    pub fn start_upload(&self, repository: &str) -> String {
        let answer = self.post(format!("/v2/{repository}/blobs/uploads/")).send();
        answer.assert_status(202);
        answer.location()
    }

    /// Puts a manifest; the answer is the caller's to judge.
    pub fn put_manifest(&self, repository: &str, reference: &str, media_type: &str, bytes: &[u8]) -> Answer {
        let target = format!("/v2/{repository}/manifests/{reference}");
        self.put(target).header("Content-Type", media_type).body(bytes).send()
    }

    /// Puts an image manifest whose blobs are there and returns its digest.
    ///
    /// # Panics
    /// Unless the answer is 201.
    pub fn put_image(&self, repository: &str, reference: &str, bytes: &[u8]) -> String {
        self.put_manifest(repository, reference, media_type::IMAGE, bytes).assert_status(201);
        sha256(bytes)
    }

    /// Pushes the blobs of `image`, not its manifest.
    pub fn push_blobs_of(&self, image: &Image) {
        self.push_blob(&image.repository, &image.config);
        self.push_blob(&image.repository, &image.layer);
    }

    /// Pushes a fresh image under `tag`.
    ///
    /// # Panics
    /// Unless every answer is 201.
    pub fn push_image(&self, repository: &str, tag: &str) -> Image {
        let image = Image::new(repository);
        self.push_blobs_of(&image);
        self.put_image(repository, tag, &image.manifest);
        image
    }

    /// Pushes and pulls an image: the node still works.
    ///
    /// # Panics
    /// When it does not.
    pub fn assert_serves(&self) {
        let repository = fresh_repository("alive");
        let image = self.push_image(&repository, "v1");
        let manifest = self.get(format!("/v2/{repository}/manifests/v1")).send();
        manifest.assert_status(200);
        assert_eq!(manifest.body, image.manifest);
        let layer = self.get(format!("/v2/{repository}/blobs/{}", sha256(&image.layer))).send();
        layer.assert_status(200);
        assert_eq!(layer.body, image.layer);
    }

    /// The names in `tags/list`, first page.
    ///
    /// # Panics
    /// Unless the answer is 200 with a list.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        let answer = self.get(format!("/v2/{repository}/tags/list")).send();
        answer.assert_status(200);
        answer.strings("tags")
    }

    /// The descriptors in the referrers of `digest`.
    ///
    /// # Panics
    /// Unless the answer is 200 with a list.
    pub fn referrers(&self, repository: &str, digest: &str) -> Vec<serde_json::Value> {
        let answer = self.get(format!("/v2/{repository}/referrers/{digest}")).send();
        answer.assert_status(200);
        match answer.json()["manifests"].as_array() {
            Some(list) => list.clone(),
            None => panic!("no array of manifests: {}", answer.text()),
        }
    }

    /// A bearer token for `scopes`, got with this client's credentials.
    ///
    /// # Panics
    /// Unless the answer is 200 with a token.
    pub fn token(&self, scopes: &[&str]) -> String {
        let scopes: String = scopes.iter().map(|scope| format!("&scope={scope}")).collect();
        let answer = self.get(format!("/token?service=shoal{scopes}")).send();
        answer.assert_status(200);
        match answer.json()["token"].as_str() {
            Some(token) => token.to_owned(),
            None => panic!("no token: {}", answer.text()),
        }
    }
}

impl Answer {
    /// Checks the status.
    ///
    /// # Panics
    /// When it is another one.
    pub fn assert_status(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "headers {:?}, body {}", self.headers, self.beginning());
        self
    }

    /// Checks for an error of the OCI dialect with this status and code.
    ///
    /// # Panics
    /// When it is anything else, or says more than it may.
    pub fn assert_error(&self, status: u16, code: &str) -> &Self {
        self.assert_refused(&[status]);
        assert!(self.codes().iter().any(|found| found == code), "expected {code}: {}", self.beginning());
        self
    }

    /// Checks for an error of the OCI dialect with one of these statuses.
    ///
    /// # Panics
    /// When it is anything else, or says more than it may.
    pub fn assert_refused(&self, statuses: &[u16]) -> &Self {
        assert!(
            statuses.contains(&self.status),
            "{} is none of {statuses:?}: {}",
            self.status,
            self.beginning()
        );
        assert!(!self.codes().is_empty(), "no errors[] in {:?} {}", self.headers, self.beginning());
        assert_eq!(self.header("content-type"), Some("application/json"), "{:?}", self.headers);
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "{:?}", self.headers);
        self.assert_discreet();
        self
    }

    /// Checks for an error without a body, as `HEAD` gets it.
    ///
    /// # Panics
    /// When it is anything else.
    pub fn assert_bodyless(&self, status: u16) -> &Self {
        self.assert_status(status);
        assert!(self.body.is_empty(), "HEAD with a body");
        self
    }

    /// Checks that nothing in the answer tells of our inside.
    ///
    /// # Panics
    /// When something does.
    pub fn assert_discreet(&self) -> &Self {
        let whole = format!("{:?} {}", self.headers, self.text());
        for text in INSIDE {
            assert!(!whole.contains(text), "tells of our inside ({text}): {whole}");
        }
        self
    }

    /// The codes in `errors[]`.
    pub fn codes(&self) -> Vec<String> {
        let body = self.json();
        let errors = body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().filter_map(|error| error["code"].as_str().map(str::to_owned)).collect()
    }

    /// The strings of the array `field`.
    ///
    /// # Panics
    /// When it is no array of strings.
    pub fn strings(&self, field: &str) -> Vec<String> {
        let body = self.json();
        let Some(values) = body[field].as_array() else {
            panic!("{field} is no array: {}", self.beginning());
        };
        let text = |value: &serde_json::Value| match value.as_str() {
            Some(text) => text.to_owned(),
            None => panic!("{field} holds {value}"),
        };
        values.iter().map(text).collect()
    }

    /// The `Location`, which must be relative.
    ///
    /// # Panics
    /// When there is none or it names a host (H6).
    pub fn location(&self) -> String {
        match self.header("location") {
            Some(location) if location.starts_with("/v2/") => location.to_owned(),
            other => panic!("expected a relative Location, found {other:?}"),
        }
    }

    /// The target of `Link: <…>; rel="next"`.
    ///
    /// # Panics
    /// When there is a `Link` of another form (T7).
    pub fn next_page(&self) -> Option<String> {
        let link = self.header("link")?;
        match link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\"")) {
            Some(target) if target.starts_with("/v2/") => Some(target.to_owned()),
            _ => panic!("strange Link: {link}"),
        }
    }

    fn beginning(&self) -> String {
        self.text().chars().take(600).collect()
    }
}

/// `location` with one query parameter more.
pub fn with_query(location: &str, parameter: &str) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{location}{separator}{parameter}")
}
