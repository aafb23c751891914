//! Documents and bytes to push: digests, manifests, indexes, and blobs that no other test has.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};

/// Media types of the documents that tests push.
pub mod media_type {
    /// OCI image manifest.
    pub const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI index.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// Docker image manifest.
    pub const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// OCI image configuration.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// OCI layer.
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// The OCI empty document.
    pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
}

/// The digest that a client asks for to see whether referrers are supported.
pub const ZERO_DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `sha256:<hex>` of `bytes`.
pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// `sha512:<hex>` of `bytes`.
pub fn sha512(bytes: &[u8]) -> String {
    format!("sha512:{}", hex(&Sha512::digest(bytes)))
}

/// A number that this process gives out once.
pub fn serial() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// `size` bytes that differ from those of every other call: the same seed bytes, then noise.
pub fn unique_bytes(size: usize) -> Vec<u8> {
    let mut state = (serial() << 32 | u64::from(std::process::id())).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let next = || {
        // xorshift64*: quick, and no need to be better.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_be_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(next).take(size.div_ceil(8)).flatten().collect();
    bytes.truncate(size);
    bytes
}

/// A descriptor of `bytes`.
pub fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": sha256(bytes), "size": bytes.len()})
}

/// An image manifest of a configuration and layers.
pub fn image(config: &[u8], layers: &[&[u8]]) -> Value {
    let layers: Vec<Value> = layers.iter().map(|layer| descriptor(media_type::LAYER, layer)).collect();
    json!({
        "schemaVersion": 2,
        "mediaType": media_type::IMAGE,
        "config": descriptor(media_type::CONFIG, config),
        "layers": layers,
    })
}

/// An index of `children`, which are descriptors.
pub fn index(children: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": children})
}

/// A descriptor of the JSON document `manifest` as [`bytes_of`] writes it.
pub fn descriptor_of(manifest: &Value) -> Value {
    let media_type = manifest["mediaType"].as_str().unwrap_or(media_type::IMAGE);
    descriptor(media_type, &bytes_of(manifest))
}

/// A JSON document as bytes.
pub fn bytes_of(document: &Value) -> Vec<u8> {
    document.to_string().into_bytes()
}
