//! Images on disk as OCI layouts, for clients to push, and to compare with what they pulled.
//!
//! Each layout has two images that differ in their platform, the first runs on this machine: `/hello` prints
//! [`GREETING`]. Layers: the program with bytes that no other layout has, and an empty one that all share.

use std::collections::BTreeSet;
use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::content::{bytes_of, descriptor, media_type, sha256, unique_bytes};
use crate::process::finish;
use crate::sandbox::locate;

/// What `/hello` prints, with a line end.
pub const GREETING: &str = "hello from shoal";

/// Size of the part of the first layer that no other layout has.
const UNIQUE_SIZE: usize = 1 << 20;

/// A layer without compression.
const TAR_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// How the layers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// gzip, as nearly all images.
    Gzip,
    /// Not at all: skopeo changes the compression of such layers only.
    Plain,
}

/// What the layout's only entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The image for this machine, tag `one`.
    Image,
    /// The index of both images, tag `multi`.
    Index,
}

/// A layout on disk.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    /// Digest of the image for this machine.
    pub image: String,
    /// Digest of the index of both images.
    pub index: String,
}

impl Layout {
    /// Writes a layout to the new folder `path`.
    ///
    /// # Panics
    /// When it cannot.
    pub fn write(path: &Path, entry: Entry) -> Self {
        Self::write_with(path, entry, Compression::Gzip)
    }

    /// As [`Layout::write`], with the layers stored another way.
    ///
    /// # Panics
    /// When it cannot.
    pub fn write_with(path: &Path, entry: Entry, compression: Compression) -> Self {
        match Self::try_write(path, entry, compression) {
            Ok(layout) => layout,
            Err(error) => panic!("no layout in {}: {error:#}", path.display()),
        }
    }

    fn try_write(path: &Path, entry: Entry, compression: Compression) -> anyhow::Result<Self> {
        fs::create_dir_all(path.join("blobs/sha256"))?;
        let put = |media_type: &str, bytes: &[u8]| -> anyhow::Result<Value> {
            fs::write(blob_path(path, &sha256(bytes)), bytes)?;
            Ok(descriptor(media_type, bytes))
        };
        let layers = [hello_layer()?, tar(&[])];
        let store = |layer: &[u8]| match compression {
            Compression::Plain => put(TAR_LAYER, layer),
            Compression::Gzip => put(media_type::LAYER, &gzip(layer)?),
        };
        let descriptors = [store(&layers[0])?, store(&layers[1])?];
        let mut children = Vec::new();
        for architecture in architectures()? {
            let config = bytes_of(&json!({
                "architecture": architecture, "os": "linux", "config": {"Cmd": ["/hello"]},
                "rootfs": {"type": "layers", "diff_ids": [sha256(&layers[0]), sha256(&layers[1])]},
            }));
            let manifest = json!({
                "schemaVersion": 2, "mediaType": media_type::IMAGE,
                "config": put(media_type::CONFIG, &config)?, "layers": descriptors,
            });
            let mut child = put(media_type::IMAGE, &bytes_of(&manifest))?;
            child["platform"] = json!({"os": "linux", "architecture": architecture});
            children.push(child);
        }
        let index = json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": children});
        let index = put(media_type::INDEX, &bytes_of(&index))?;
        let (mut top, tag) = match entry {
            Entry::Image => (children[0].clone(), "one"),
            Entry::Index => (index.clone(), "multi"),
        };
        top["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        let list = json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [top]});
        fs::write(path.join("index.json"), bytes_of(&list))?;
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(Self { path: path.to_owned(), image: digest_in(&children[0])?, index: digest_in(&index)? })
    }

    /// Where it is, for arguments.
    pub fn path(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// The bytes of one of its blobs.
    ///
    /// # Panics
    /// When it has no such blob.
    pub fn blob(&self, digest: &str) -> Vec<u8> {
        read_blob(&self.path, digest)
    }

    /// Every digest that can be reached from `root`, itself included.
    ///
    /// # Panics
    /// When the layout lacks one of them.
    pub fn reachable(&self, root: &str) -> BTreeSet<String> {
        reachable(&self.path, root)
    }

    /// Checks that the layout `other`, which a client pulled, holds all that `root` leads to, byte for byte.
    ///
    /// # Panics
    /// When it does not.
    pub fn assert_same_in(&self, other: &Path, root: &str) {
        for digest in self.reachable(root) {
            assert!(read_blob(other, &digest) == self.blob(&digest), "{digest} came back changed");
        }
    }
}

/// Every digest that can be reached from `root` in the layout `path`.
///
/// # Panics
/// When one of them is missing.
pub fn reachable(path: &Path, root: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::from([root.to_owned()]);
    let document: Value = serde_json::from_slice(&read_blob(path, root)).unwrap_or_default();
    let list = |field: &str| document[field].as_array().cloned().unwrap_or_default();
    for child in list("manifests") {
        found.extend(child["digest"].as_str().map(|digest| reachable(path, digest)).unwrap_or_default());
    }
    let leaves = list("layers").into_iter().chain([document["config"].clone()]);
    found.extend(leaves.filter_map(|leaf| leaf["digest"].as_str().map(str::to_owned)));
    found
}

fn blob_path(layout: &Path, digest: &str) -> PathBuf {
    layout.join("blobs").join(digest.replacen(':', "/", 1))
}

fn read_blob(layout: &Path, digest: &str) -> Vec<u8> {
    let path = blob_path(layout, digest);
    match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

fn digest_in(descriptor: &Value) -> anyhow::Result<String> {
    Ok(descriptor["digest"].as_str().context("descriptor without digest")?.to_owned())
}

/// This machine's architecture in OCI's words, then another one.
fn architectures() -> anyhow::Result<[&'static str; 2]> {
    match ARCH {
        "x86_64" => Ok(["amd64", "arm64"]),
        "aarch64" => Ok(["arm64", "amd64"]),
        other => bail!("no OCI name for {other} here"),
    }
}

fn hello_layer() -> anyhow::Result<Vec<u8>> {
    // The time too: podman and skopeo remember digests from one run of the tests to the next.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos().to_string();
    let unique = [now.into_bytes(), unique_bytes(UNIQUE_SIZE)].concat();
    Ok(tar(&[("hello", 0o755, hello_program()?), ("unique", 0o644, &unique)]))
}

/// A static program for this machine that prints [`GREETING`]; compiled once in each test process.
///
/// # Errors
/// When it cannot be compiled.
pub fn hello_program() -> anyhow::Result<&'static [u8]> {
    static PROGRAM: OnceLock<Result<Vec<u8>, String>> = OnceLock::new();
    match PROGRAM.get_or_init(|| compile().map_err(|error| format!("{error:#}"))) {
        Ok(bytes) => Ok(bytes),
        Err(error) => bail!("{error}"),
    }
}

fn compile() -> anyhow::Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let source = format!(
        "#include <unistd.h>\nint main(void) {{ return write(1, \"{GREETING}\\n\", {}) < 0; }}\n",
        GREETING.len() + 1
    );
    fs::write(folder.path().join("hello.c"), source)?;
    let mut compiler = Command::new(locate("gcc"));
    compiler.args(["-static", "-O1", "-s", "-o", "hello", "hello.c"]).current_dir(folder.path());
    finish(&mut compiler, b"", Duration::from_secs(60))?.assert_success();
    Ok(fs::read(folder.path().join("hello"))?)
}

/// Without name and time in it: the same bytes in, the same bytes out.
fn gzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let finished = finish(Command::new(locate("gzip")).args(["-n", "-1"]), bytes, Duration::from_secs(60))?;
    Ok(finished.assert_success().stdout)
}

/// A tar archive of regular files: name, mode, content.
pub fn tar(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, mode, content) in files {
        archive.extend_from_slice(&tar_header(name, *mode, content.len()));
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// A POSIX header. Fields not set here are zero: owner root, the epoch, no links.
fn tar_header(name: &str, mode: u32, size: usize) -> [u8; 512] {
    let mut header = [0; 512];
    let mut set = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    set(0, name);
    set(100, &format!("{mode:07o}"));
    set(108, "0000000");
    set(116, "0000000");
    set(124, &format!("{size:011o}"));
    set(136, "00000000000");
    // The checksum counts its own field as spaces.
    set(148, "        ");
    set(156, "0");
    set(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header
}
