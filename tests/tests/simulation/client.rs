//! Clients: they push, tag, delete, mount and read through any node, and remember what they were told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use cluster::{Metadata, ProposeError, Unavailable};
use cluster_core::command::{Command, CommitBlob, Condition, MountBlob, PutManifest, Response};
use cluster_core::key::RepositoryId;
use cluster_core::plan::placement;
use cluster_core::record::REPLICAS;
use cluster_core::state;
use proto::digest::{Algorithm, Digest};
use proto::identity::RegistryId;
use proto::name::Tag;
use proto::upload::UploadId;

use super::Mutant;
use super::homes::STAGING_MS;
use super::invariants::registers::Register;
use super::world::{World, lock, node_id};

const REPOSITORIES: u64 = 2;
const BLOBS: u64 = 5;

/// What the clients know, for the invariants.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// One writer each.
    pub(crate) registers: BTreeMap<(u64, String), Register>,
    /// Of acknowledged pushes that nobody has begun to undo.
    pub(crate) acked: BTreeSet<(u64, Digest)>,
    /// Of pushes that were refused.
    pub(crate) refused: BTreeSet<(u64, Digest)>,
    /// All that were ever proposed.
    pub(crate) manifests: BTreeSet<(u64, Digest)>,
    /// Base and outcome of acknowledged conditional pushes.
    pub(crate) swaps: BTreeMap<Option<Digest>, Digest>,
    /// Of acknowledged commits: generation and log time up to which the blob may not be dropped.
    pub(crate) leases: BTreeMap<Digest, (UploadId, u64)>,
}

/// Clients of one run share it.
pub(crate) type Shared = Arc<Mutex<Known>>;

/// What became of a request.
enum Outcome {
    Done(Response),
    /// It may take effect later.
    Unknown,
    /// Surely not taken.
    NotTaken,
}

pub(crate) struct Client {
    pub(crate) world: Arc<World>,
    pub(crate) known: Shared,
    pub(crate) number: u64,
    pub(crate) serial: u64,
    /// The tag that it writes, and how many it gave up.
    pub(crate) tag: u64,
    /// Acknowledged manifests that the tag was set to.
    pub(crate) pushed: Vec<Digest>,
}

pub(crate) fn repository(number: u64) -> RepositoryId {
    let registry = RegistryId {
        account: "000000000001".parse().expect("an account"),
        region: "home".parse().expect("a label"),
    };
    RepositoryId { registry, name: format!("app{number}").parse().expect("a name") }
}

pub(crate) fn blob_digest(number: u64) -> Digest {
    Digest::of(Algorithm::Sha256, format!("blob {number}").as_bytes())
}

pub(crate) fn blobs() -> impl Iterator<Item = Digest> {
    (0..BLOBS).map(blob_digest)
}

pub(crate) fn repositories() -> impl Iterator<Item = u64> {
    0..REPOSITORIES
}

/// Where a node stands, for the trace.
fn place(metadata: &Metadata) -> String {
    let status = metadata.status();
    format!("{:?} in term {} at {}", status.role, status.term, status.applied_index)
}

fn name(tag: &str) -> Tag {
    tag.parse().expect("a tag")
}

impl Client {
    /// Works until it is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::time::sleep(self.world.random.millis(150)).await;
            let Some(node) = self.node() else { continue };
            match self.world.random.below(21) {
                0..5 => self.push(node).await,
                5..10 => self.read(node).await,
                10..12 => self.swap(node).await,
                12..14 => self.delete_tag(node).await,
                14 => self.delete_manifest(node).await,
                15 => self.unlink(node).await,
                16 => self.mount(node).await,
                17 => self.push_without_blob(node).await,
                18 => self.clean(node).await,
                _ => self.read_old(node).await,
            }
        }
    }

    fn node(&self) -> Option<(u64, u64)> {
        let up = self.world.up();
        let node = (!up.is_empty()).then(|| self.world.random.pick(&up))?;
        self.world.life_of(node).map(|(life, _)| (node, life))
    }

    fn own_tag(&self) -> (u64, String) {
        (self.number % REPOSITORIES, format!("c{}-{}", self.number, self.tag))
    }

    async fn propose(&self, on: (u64, u64), command: Command) -> Outcome {
        let Some((_, metadata)) = self.world.life_of(on.0).filter(|(life, _)| *life == on.1) else {
            return Outcome::NotTaken;
        };
        self.world.tell(format_args!("client {} at {on:?}: {command:?}", self.number));
        let answer = metadata.propose(command).await;
        self.world.tell(format_args!("client {} at {on:?}: {answer:?}, {}", self.number, place(&metadata)));
        if !self.world.lives(on) {
            return Outcome::Unknown;
        }
        match answer {
            Ok(response) => {
                self.world.shown();
                self.world.count("writes acknowledged", 1);
                Outcome::Done(response)
            }
            Err(
                ProposeError::Unavailable(Unavailable::NoLeader | Unavailable::Overloaded)
                | ProposeError::Full,
            ) => {
                self.world.count("writes refused", 1);
                Outcome::NotTaken
            }
            Err(_) => {
                self.world.count("writes unknown", 1);
                Outcome::Unknown
            }
        }
    }

    /// Uploads a blob and links it to the repository; whether it was acknowledged.
    async fn upload(&self, on: (u64, u64), repo: u64, digest: Digest) -> bool {
        let world = &self.world;
        let Some(metadata) = world.metadata(on.0) else { return false };
        let Ok(begun) = metadata.applied_log_time() else { return false };
        let random = u128::from(world.random.next());
        let copy = (digest, UploadId::new(node_id(on.0), random));
        if !world.store(on, copy).await {
            return false;
        }
        let mut copies = vec![world.receipt(on.0)];
        for home in self.homes(&metadata, &digest, on.0) {
            let Some((life, there)) = world.life_of(home) else { continue };
            // As in `node`: its janitor must not count from a log time before that of the upload.
            if there.read().await.is_ok() && world.fetch(on.0, (home, life), copy).await {
                copies.push(world.receipt(home));
                break;
            }
        }
        if world.random.chance(200) {
            let nodes = copies.iter().map(|receipt| receipt.node.get()).collect();
            lock(&world.staged).insert(self.number, nodes);
            tokio::time::sleep(world.random.millis(6000)).await;
            lock(&world.staged).remove(&self.number);
        }
        let commit = CommitBlob {
            repository: repository(repo),
            digest,
            size: 1000,
            generation: copy.1,
            pieces_root: [3; 32],
            staging_deadline_ms: begun.saturating_add(STAGING_MS),
            copies,
            required_copies: 2,
            required_zones: 2,
        };
        let outcome = self.propose(on, Command::CommitBlob(commit)).await;
        let Outcome::Done(Response::BlobLinked { generation }) = outcome else { return false };
        if generation != copy.1
            && world.lives(on)
            && let Some(node) = world.nodes().get_mut(&on.0)
        {
            // Under the name of the generation that stays (R4).
            if let Some(is_synced) = node.blobs.files.remove(&copy) {
                node.blobs.files.entry((digest, generation)).or_insert(is_synced);
            }
        }
        world.count("blobs acknowledged", 1);
        if generation == copy.1 {
            let until = begun.saturating_add(state::blob::LEASE_MS);
            let mut known = lock(&self.known);
            let lease = known.leases.entry(digest).or_insert((generation, until));
            *lease =
                if lease.0 == generation { (generation, lease.1.max(until)) } else { (generation, until) };
        }
        true
    }

    /// Best homes in another zone first.
    fn homes(&self, metadata: &Metadata, digest: &Digest, own: u64) -> Vec<u64> {
        let Ok(reader) = metadata.local() else { return Vec::new() };
        let Ok(nodes) = state::node::homes(&reader) else { return Vec::new() };
        let homes = placement::homes(digest, &placement::candidates(&nodes), REPLICAS as usize + 2);
        let mut homes: Vec<u64> =
            homes.into_iter().map(|node| node.get()).filter(|node| *node != own).collect();
        homes.sort_by_key(|home| super::homes::zone_of(*home) == super::homes::zone_of(own));
        homes
    }

    fn manifest(
        &mut self,
        repo: u64,
        blobs: &[Digest],
        tag: &str,
        condition: Option<Condition>,
    ) -> (Command, Digest) {
        self.serial += 1;
        let content = format!("manifest {} of {}", self.serial, self.number).into_bytes();
        let digest = Digest::of(Algorithm::Sha256, &content);
        lock(&self.known).manifests.insert((repo, digest));
        let put = PutManifest {
            repository: repository(repo),
            digest,
            media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
            content,
            blobs: blobs.iter().map(|digest| (*digest, 1000)).collect(),
            children: Vec::new(),
            subject: None,
            artifact_type: None,
            annotations: BTreeMap::new(),
            tags: vec![name(tag)],
            condition,
        };
        (Command::PutManifest(Box::new(put)), digest)
    }

    /// The manifest cannot be there, and never is (I8).
    fn refused(&self, repo: u64, digest: Digest) {
        self.world.count("pushes refused", 1);
        lock(&self.known).refused.insert((repo, digest));
    }

    async fn push(&mut self, on: (u64, u64)) {
        let (repo, tag) = self.own_tag();
        let mut blobs = vec![blob_digest(self.world.random.below(BLOBS))];
        if self.world.random.chance(300) {
            blobs.push(blob_digest(self.world.random.below(BLOBS)));
        }
        blobs.dedup();
        for blob in &blobs {
            if !self.upload(on, repo, *blob).await {
                return;
            }
        }
        let (command, digest) = self.manifest(repo, &blobs, &tag, None);
        let version = self.begin(Some(digest));
        match self.propose(on, command).await {
            Outcome::Done(Response::ManifestStored { .. }) => {
                self.world.count("pushes acknowledged", 1);
                lock(&self.known).acked.insert((repo, digest));
                self.pushed.push(digest);
                self.end(version);
            }
            Outcome::Done(Response::MissingBlobs(_)) => {
                // Somebody unlinked one meanwhile.
                self.refused(repo, digest);
                self.give_up();
            }
            Outcome::Done(other) => self.world.violated("I7", format!("a push was answered {other:?}")),
            Outcome::NotTaken => {
                self.refused(repo, digest);
                self.give_up();
            }
            Outcome::Unknown => self.give_up(),
        }
    }

    /// A write of the own tag begins.
    fn begin(&self, value: Option<Digest>) -> usize {
        lock(&self.known).registers.entry(self.own_tag()).or_default().begin(value)
    }

    fn end(&self, version: usize) {
        lock(&self.known).registers.entry(self.own_tag()).or_default().end(version);
    }

    /// What becomes of the write is not known: the tag is left alone from now on.
    fn give_up(&mut self) {
        lock(&self.known).registers.entry(self.own_tag()).or_default().is_given_up = true;
        self.tag += 1;
        self.pushed.clear();
    }

    async fn delete_tag(&mut self, on: (u64, u64)) {
        let (repo, tag) = self.own_tag();
        let version = self.begin(None);
        let command = Command::DeleteTag { repository: repository(repo), tag: name(&tag) };
        match self.propose(on, command).await {
            Outcome::Done(Response::Deleted | Response::NotFound) => self.end(version),
            Outcome::Done(other) => self.world.violated("I7", format!("a delete was answered {other:?}")),
            Outcome::NotTaken | Outcome::Unknown => self.give_up(),
        }
    }

    async fn delete_manifest(&mut self, on: (u64, u64)) {
        let (repo, _) = self.own_tag();
        let Some(digest) = lock(&self.known).registers.get(&self.own_tag()).and_then(Register::latest) else {
            return;
        };
        lock(&self.known).acked.remove(&(repo, digest));
        let version = self.begin(None);
        let command = Command::DeleteManifest { repository: repository(repo), digest };
        match self.propose(on, command).await {
            Outcome::Done(Response::Deleted | Response::NotFound) => {
                self.end(version);
                self.world.count("manifests deleted", 1);
            }
            Outcome::Done(other) => self.world.violated("I7", format!("a delete was answered {other:?}")),
            Outcome::NotTaken | Outcome::Unknown => self.give_up(),
        }
    }

    /// Deletes manifests that no tag of its own leads to, and unlinks all blobs that nothing needs then.
    async fn clean(&mut self, on: (u64, u64)) {
        let (repo, _) = self.own_tag();
        let latest = lock(&self.known).registers.get(&self.own_tag()).and_then(Register::latest);
        let old = std::mem::take(&mut self.pushed).into_iter().filter(|digest| Some(*digest) != latest);
        for digest in old {
            lock(&self.known).acked.remove(&(repo, digest));
            self.propose(on, Command::DeleteManifest { repository: repository(repo), digest }).await;
        }
        self.pushed.extend(latest);
        for digest in blobs() {
            self.propose(on, Command::UnlinkBlob { repository: repository(repo), digest }).await;
        }
    }

    async fn unlink(&mut self, on: (u64, u64)) {
        let repo = self.world.random.below(REPOSITORIES);
        let digest = blob_digest(self.world.random.below(BLOBS));
        self.propose(on, Command::UnlinkBlob { repository: repository(repo), digest }).await;
    }

    async fn mount(&mut self, on: (u64, u64)) {
        let repo = self.world.random.below(REPOSITORIES);
        let digest = blob_digest(self.world.random.below(BLOBS));
        let from = repositories().filter(|from| *from != repo).map(|from| repository(from).name).collect();
        self.propose(on, Command::MountBlob(MountBlob { repository: repository(repo), digest, from })).await;
    }

    /// Must be refused (I8).
    async fn push_without_blob(&mut self, on: (u64, u64)) {
        let repo = self.world.random.below(REPOSITORIES);
        let nobodys = Digest::of(Algorithm::Sha256, b"never uploaded");
        let (command, digest) = self.manifest(repo, &[nobodys], "never", None);
        match self.propose(on, command).await {
            Outcome::Done(Response::MissingBlobs(_)) | Outcome::NotTaken => self.refused(repo, digest),
            Outcome::Done(other) => self.world.violated("I8", format!("a push without its blob: {other:?}")),
            Outcome::Unknown => {}
        }
    }

    /// Moves a tag that all share, if it still stands for what was read.
    async fn swap(&mut self, on: (u64, u64)) {
        let Some(base) = self.strong(on, 0, "shared").await else { return };
        let condition = match base {
            Some(base) => Condition::IfMatch(vec![base]),
            None => Condition::IfNoneMatchAny,
        };
        let (command, digest) = self.manifest(0, &[], "shared", Some(condition));
        match self.propose(on, command).await {
            Outcome::Done(Response::ManifestStored { .. }) => {
                self.world.count("swaps", 1);
                let mut known = lock(&self.known);
                known.acked.insert((0, digest));
                if let Some(other) = known.swaps.insert(base, digest) {
                    self.world.violated("I7", format!("{digest} and {other} both followed {base:?}"));
                }
            }
            Outcome::Done(Response::ConditionFailed { .. }) | Outcome::NotTaken => self.refused(0, digest),
            Outcome::Done(other) => self.world.violated("I7", format!("a swap was answered {other:?}")),
            Outcome::Unknown => {}
        }
    }

    /// What a tag stands for, read so that all acknowledged writes show. Outer `None`: no answer.
    async fn strong(&self, on: (u64, u64), repo: u64, tag: &str) -> Option<Option<Digest>> {
        let metadata = self.world.metadata(on.0)?;
        let reader = match self.world.mutant {
            Some(Mutant::StaleRead) => metadata.local(),
            _ => metadata.read().await,
        };
        if !self.world.lives(on) {
            return None;
        }
        let Ok(reader) = reader else {
            self.world.count("reads refused", 1);
            return None;
        };
        let record = state::tag::tag(&reader, &repository(repo), &name(tag)).ok()?;
        self.world.count("reads", 1);
        let digest = record.as_ref().map(|record| record.digest);
        self.world.tell(format_args!(
            "client {} at {on:?}: {tag} is {digest:?}, {}",
            self.number,
            place(&metadata)
        ));
        Some(record.map(|record| record.digest))
    }

    /// Reads a tag of any client.
    async fn read(&mut self, on: (u64, u64)) {
        let tags: Vec<_> = {
            let known = lock(&self.known);
            let live = known.registers.iter().filter(|(_, register)| !register.is_given_up);
            live.map(|(tag, register)| (tag.clone(), register.floor())).collect()
        };
        if tags.is_empty() {
            return;
        }
        let (tag, floor) = tags[self.world.random.below(tags.len() as u64) as usize].clone();
        let Some(found) = self.strong(on, tag.0, &tag.1).await else { return };
        let mut known = lock(&self.known);
        let Some(register) = known.registers.get_mut(&tag) else { return };
        if let Err(problem) = register.was_read(floor, found) {
            self.world.violated("I18/I19/I21", format!("tag {}: {problem}", tag.1));
        }
    }

    /// Any acknowledged manifest is readable by digest through a strong read (I7).
    async fn read_old(&mut self, on: (u64, u64)) {
        let acked: Vec<_> = lock(&self.known).acked.iter().copied().collect();
        if acked.is_empty() {
            return;
        }
        let (repo, digest) = self.world.random.pick(&acked);
        let Some(metadata) = self.world.metadata(on.0) else { return };
        let Ok(reader) = metadata.read().await else { return };
        let found = state::manifest::manifest_content(&reader, &repository(repo), &digest);
        let is_still = lock(&self.known).acked.contains(&(repo, digest));
        if is_still && self.world.lives(on) && !matches!(found, Ok(Some(_))) {
            self.world.violated("I7", format!("the acknowledged manifest {digest} is not found: {found:?}"));
        }
    }
}
