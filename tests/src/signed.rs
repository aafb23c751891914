//! A client of ECR's API that signs its requests with an access key, as the SDKs of AWS do.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::digest::{Algorithm, Digest};
use proto::sigv4::{Request, Signer};
use serde_json::Value;

use crate::http::Client;
use crate::raw::Answer;

/// The region of a cluster that was not given another one.
const REGION: &str = "local";

/// Names and values.
pub type Headers = Vec<(String, String)>;

/// An access key.
#[derive(Clone, Debug)]
pub struct SigningClient {
    signer: Signer,
}

impl SigningClient {
    /// Signs with the key of what `shoal key create --output json` printed.
    pub fn new(key: &Value) -> Self {
        let text = |name: &str| key[name].as_str().unwrap_or_default();
        Self {
            signer: Signer {
                key_id: text("id").parse().expect("an id"),
                secret: text("secret").parse().expect("a secret"),
                token: None,
                region: REGION.parse().expect("a region"),
                service: "ecr".parse().expect("a service"),
            },
        }
    }

    /// The same in another region.
    #[must_use]
    pub fn in_region(mut self, region: &str) -> Self {
        self.signer.region = region.parse().expect("a region");
        self
    }

    /// Asks the node at `host` for an operation of `ecr`.
    pub fn call(&self, host: &str, operation: &str, input: &Value) -> Answer {
        self.call_with(host, operation, input.to_string().as_bytes(), |_| {})
    }

    /// As [`Self::call`], with headers that are changed after they were signed.
    pub fn call_with(
        &self,
        host: &str,
        operation: &str,
        body: &[u8],
        change: impl FnOnce(&mut Headers),
    ) -> Answer {
        let target = format!("AmazonEC2ContainerRegistry_V20150921.{operation}");
        let headers = [
            ("content-type", b"application/x-amz-json-1.1".as_slice()),
            ("host", host.as_bytes()),
            ("x-amz-target", target.as_bytes()),
        ];
        let request = Request { method: "POST", path: "/", query: "", headers: &headers };
        let digest = Digest::of(Algorithm::Sha256, body);
        let added = self.signer.sign(&request, &digest, SystemTime::now().into()).expect("signed");
        let mut sent: Headers = vec![
            ("content-type".into(), "application/x-amz-json-1.1".into()),
            ("x-amz-target".into(), target),
        ];
        sent.extend(added.into_iter().map(|(name, value)| (name.to_owned(), value)));
        change(&mut sent);
        let client = Client::anonymous(host);
        let mut post = client.post("/").body(body);
        for (name, value) in &sent {
            post = post.header(name, value);
        }
        post.send()
    }

    /// The password of `docker login --username AWS`.
    pub fn password(&self, host: &str) -> String {
        let answer = self.call(host, "GetAuthorizationToken", &serde_json::json!({}));
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let answer: Value = serde_json::from_slice(&answer.body).expect("a document");
        let token = answer["authorizationData"][0]["authorizationToken"].as_str().expect("a token");
        let pair = String::from_utf8(STANDARD.decode(token).expect("base64")).expect("text");
        pair.strip_prefix("AWS:").expect("the user AWS").to_owned()
    }
}

/// What an error of the API is called.
pub fn error_type(answer: &Answer) -> String {
    let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    format!("{} {}", answer.status, document["__type"].as_str().unwrap_or_default())
}
