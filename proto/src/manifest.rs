//! Manifests: image and index documents of OCI and Docker.
//!
//! Owns which documents the registry accepts (OCI image-spec manifest.md, image-index.md; checklist §13)
//! and what it needs to know of them. The bytes themselves are stored as they came: nothing here
//! re-encodes. Longer than 300 lines, since kinds, shape and rules of a document are only understood together.
//! Bounds: [`MAX_MANIFEST_BYTES`] per document, nesting by serde_json (128 levels).

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::digest::{Digest, DigestError};
use crate::strict_json;

/// Largest manifest in bytes (OCI distribution-spec: registries should accept at least 4 MiB).
pub const MAX_MANIFEST_BYTES: usize = 4 << 20;
/// Longest media type or artifact type in bytes (RFC 6838 allows 127 on each side of the slash).
pub const MAX_MEDIA_TYPE: usize = 255;

/// The media type of a referrers reply, and of OCI indexes.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// The four kinds of document that are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// OCI image manifest, also the form of artifacts.
    OciImage,
    /// OCI image index.
    OciIndex,
    /// Docker image manifest, version 2 schema 2.
    DockerImage,
    /// Docker manifest list.
    DockerList,
}

impl Kind {
    /// The media type by which this kind is known.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OciImage => OCI_IMAGE,
            Self::OciIndex => OCI_INDEX,
            Self::DockerImage => DOCKER_IMAGE,
            Self::DockerList => DOCKER_LIST,
        }
    }

    /// Whether the document lists other manifests.
    pub fn is_index(self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerList)
    }

    /// The kind with that media type.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        [Self::OciImage, Self::OciIndex, Self::DockerImage, Self::DockerList]
            .into_iter()
            .find(|kind| kind.media_type() == media_type)
    }
}

/// Why a document is refused. Every variant is the client's fault.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// More than [`MAX_MANIFEST_BYTES`].
    #[error("a manifest may have at most {MAX_MANIFEST_BYTES} bytes")]
    TooLarge,
    /// Not strict JSON of the expected shape: the parser's words.
    #[error("the manifest is not valid")]
    Json(#[from] serde_json::Error),
    /// `schemaVersion` is absent or not 2.
    #[error("schemaVersion must be 2")]
    SchemaVersion,
    /// Neither the request nor the document names a media type that is accepted.
    #[error("the media type {0:?} is not that of an image manifest or index")]
    UnsupportedMediaType(String),
    /// Request and document disagree.
    #[error("Content-Type and mediaType differ: {content_type:?} and {media_type:?}")]
    MediaTypeMismatch {
        /// What the request says.
        content_type: String,
        /// What the document says.
        media_type: String,
    },
    /// It could be read as an image and as an index (CVE-2021-41190).
    #[error("the manifest is ambiguous: {0} does not belong in this media type")]
    Ambiguous(&'static str),
    /// A part that its kind must have is absent.
    #[error("the manifest lacks {0}")]
    Lacks(&'static str),
    /// A descriptor names content by something that is no digest.
    #[error("{digest:?} in {place} is not a digest")]
    Digest {
        /// Where in the document.
        place: &'static str,
        /// The text that stands there, shortened.
        digest: String,
        /// What is wrong with it.
        #[source]
        reason: DigestError,
    },
    /// A descriptor's size is negative or too large to be true.
    #[error("the size {size} in {place} is not possible")]
    Size {
        /// Where in the document.
        place: &'static str,
        /// The number that stands there.
        size: i64,
    },
    /// A media type or artifact type that follows no grammar.
    #[error("the type in {0} is not a media type")]
    BadType(&'static str),
}

/// A reference to content, as far as the registry looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// What the content is.
    pub media_type: String,
    /// Its name.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it may live elsewhere: it has `urls`, or a type that is not to be distributed.
    pub foreign: bool,
}

/// What the registry needs to know of a document.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Which kind of document it is; gives the media type.
    pub kind: Kind,
    /// Config and layers of an image, in order; may repeat. Empty for an index.
    pub blobs: Vec<Descriptor>,
    /// Entries of an index; their content need not exist.
    pub children: Vec<Descriptor>,
    /// The manifest that this one refers to.
    pub subject: Option<Digest>,
    /// What a referrers listing says: `artifactType`, else an image's config type.
    pub artifact_type: Option<String>,
    /// All annotations, as a referrers listing repeats them.
    pub annotations: BTreeMap<String, String>,
    /// What is odd though accepted, for `Warning` headers.
    pub oddities: Vec<Oddity>,
}

/// Something that is legal and hardly meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// An image without layers and without an artifact type.
    NoLayers,
    /// An index without entries.
    EmptyIndex,
    /// An empty config and no artifact type: tools cannot tell what this is.
    UntypedArtifact,
    /// Layers that this registry does not keep.
    ForeignLayers,
    /// No `mediaType` in the document.
    NoMediaType,
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoLayers => "the image has no layers",
            Self::EmptyIndex => "the index has no entries",
            Self::UntypedArtifact => "the config is empty and artifactType is not set",
            Self::ForeignLayers => "layers with urls are not kept by this registry",
            Self::NoMediaType => "the document has no mediaType",
        })
    }
}

impl Manifest {
    /// Reads `bytes` as the kind of document that `content_type` (a header's value, parameters ignored)
    /// or the document itself names.
    pub fn parse(content_type: Option<&str>, bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge);
        }
        strict_json::check(bytes, usize::MAX)?;
        let document: Document = serde_json::from_slice(bytes)?;
        if document.schema_version != Some(2) {
            return Err(ManifestError::SchemaVersion);
        }
        let kind = kind_of(content_type, document.media_type.as_deref())?;
        document.into_manifest(kind)
    }
}

/// Rows M5–M7 of the checklist.
fn kind_of(content_type: Option<&str>, media_type: Option<&str>) -> Result<Kind, ManifestError> {
    let content_type = content_type
        .map(|value| value.split(';').next().unwrap_or_default().trim())
        .filter(|value| !value.is_empty() && *value != "application/json");
    let named = match (content_type, media_type) {
        (Some(header), Some(document)) if header != document => {
            return Err(ManifestError::MediaTypeMismatch {
                content_type: shorten(header),
                media_type: shorten(document),
            });
        }
        (Some(named), _) | (None, Some(named)) => named,
        (None, None) => return Err(ManifestError::UnsupportedMediaType(String::new())),
    };
    let kind =
        Kind::of_media_type(named).ok_or_else(|| ManifestError::UnsupportedMediaType(shorten(named)))?;
    let docker = matches!(kind, Kind::DockerImage | Kind::DockerList);
    if docker && media_type.is_none() {
        return Err(ManifestError::Lacks("mediaType"));
    }
    Ok(kind)
}

/// What of a client's text is repeated to it.
fn shorten(text: &str) -> String {
    text.chars().take(128).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<i64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
    manifests: Option<Vec<RawDescriptor>>,
    fs_layers: Option<serde::de::IgnoredAny>,
    subject: Option<RawDescriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: Option<String>,
    digest: String,
    size: i64,
    urls: Option<Vec<String>>,
}

impl RawDescriptor {
    fn check(self, place: &'static str) -> Result<Descriptor, ManifestError> {
        let digest = self.digest.parse().map_err(|reason| ManifestError::Digest {
            place,
            digest: shorten(&self.digest),
            reason,
        })?;
        let size = u64::try_from(self.size).map_err(|_| ManifestError::Size { place, size: self.size })?;
        let media_type = self.media_type.unwrap_or_default();
        if !is_media_type(&media_type) {
            return Err(ManifestError::BadType(place));
        }
        let undistributed = media_type.contains(".nondistributable.") || media_type.contains(".foreign.");
        let foreign = undistributed || self.urls.is_some_and(|urls| !urls.is_empty());
        Ok(Descriptor { media_type, digest, size, foreign })
    }
}

fn check_all(raw: Option<Vec<RawDescriptor>>, place: &'static str) -> Result<Vec<Descriptor>, ManifestError> {
    raw.unwrap_or_default().into_iter().map(|entry| entry.check(place)).collect()
}

impl Document {
    fn into_manifest(self, kind: Kind) -> Result<Manifest, ManifestError> {
        if self.fs_layers.is_some() {
            return Err(ManifestError::Ambiguous("fsLayers"));
        }
        if self.artifact_type.as_deref().is_some_and(|kind| !kind.is_empty() && !is_media_type(kind)) {
            return Err(ManifestError::BadType("artifactType"));
        }
        let mut oddities = Vec::new();
        if self.media_type.is_none() {
            oddities.push(Oddity::NoMediaType);
        }
        let own_type = self.artifact_type.filter(|kind| !kind.is_empty());
        let (blobs, children, artifact_type);
        if kind.is_index() {
            if self.config.is_some() || self.layers.is_some() {
                return Err(ManifestError::Ambiguous("config or layers"));
            }
            if self.manifests.is_none() {
                return Err(ManifestError::Lacks("manifests"));
            }
            children = check_all(self.manifests, "manifests")?;
            blobs = Vec::new();
            artifact_type = own_type;
            if children.is_empty() {
                oddities.push(Oddity::EmptyIndex);
            }
        } else {
            if self.manifests.is_some() {
                return Err(ManifestError::Ambiguous("manifests"));
            }
            let config = self.config.ok_or(ManifestError::Lacks("config"))?.check("config")?;
            let layers = check_all(self.layers, "layers")?;
            oddities.extend(odd_image(&config, &layers, own_type.is_some()));
            artifact_type = own_type.or_else(|| Some(config.media_type.clone()));
            blobs = std::iter::once(config).chain(layers).collect();
            children = Vec::new();
        }
        let subject = self.subject.map(|subject| subject.check("subject")).transpose()?;
        Ok(Manifest {
            kind,
            blobs,
            children,
            subject: subject.map(|subject| subject.digest),
            artifact_type,
            annotations: self.annotations.unwrap_or_default(),
            oddities,
        })
    }
}

fn odd_image(config: &Descriptor, layers: &[Descriptor], typed: bool) -> Vec<Oddity> {
    let mut found = Vec::new();
    if layers.is_empty() && !typed {
        found.push(Oddity::NoLayers);
    }
    if config.media_type == OCI_EMPTY && !typed {
        found.push(Oddity::UntypedArtifact);
    }
    if layers.iter().any(|layer| layer.foreign) {
        found.push(Oddity::ForeignLayers);
    }
    found
}

/// `type/subtype`, each of RFC 6838's restricted names.
fn is_media_type(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.starts_with(|first: char| first.is_ascii_alphanumeric())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    text.len() <= MAX_MEDIA_TYPE && text.split_once('/').is_some_and(|(kind, sub)| part(kind) && part(sub))
}

#[cfg(test)]
#[path = "manifest_test.rs"]
mod tests;
