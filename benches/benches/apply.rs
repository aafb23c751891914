//! Apply and queries on a map in memory: what the rules cost without the store.

#![expect(clippy::expect_used, reason = "without its setting a benchmark has nothing to measure")]

use std::collections::BTreeMap;
use std::hint::black_box;

use cluster_core::command::{Batch, Command, PutManifest};
use cluster_core::key::RepositoryId;
use cluster_core::state::{apply, tag};
use cluster_core::view::MemoryView;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use proto::digest::{Algorithm, Digest};
use proto::identity::RegistryId;

/// Tags in the repository that is read and written.
const TAGS: u32 = 100_000;
/// Commands in one Raft entry under load.
const BATCH: u32 = 64;

fn repository() -> RepositoryId {
    let account = "000000000000".parse().expect("an account");
    let region = "local".parse().expect("a region");
    let name = "bench/apply".parse().expect("a repository name");
    RepositoryId { registry: RegistryId { account, region }, name }
}

/// Sets tag `number` to version `version` of a manifest of its own, without blobs.
fn put(number: u32, version: u32) -> Command {
    let content = format!("{{\"schemaVersion\":2,\"number\":{number},\"version\":{version}}}").into_bytes();
    Command::PutManifest(Box::new(PutManifest {
        repository: repository(),
        digest: Digest::of(Algorithm::Sha256, &content),
        media_type: "application/vnd.oci.image.manifest.v1+json".into(),
        content,
        blobs: Vec::new(),
        children: Vec::new(),
        subject: None,
        artifact_type: None,
        annotations: BTreeMap::new(),
        tags: vec![format!("t{number:08}").parse().expect("a tag")],
        condition: None,
    }))
}

fn filled() -> MemoryView {
    let mut view = MemoryView::default();
    let batch = Batch { time_ms: 1, commands: (0..TAGS).map(|number| put(number, 0)).collect() };
    apply(&mut view, 1, batch).expect("memory does not fail");
    view
}

fn state(criterion: &mut Criterion) {
    let mut view = filled();
    let mut index = 1;
    let mut group = criterion.benchmark_group("apply");
    group.throughput(Throughput::Elements(u64::from(BATCH)));
    group.bench_function("64 tags that move, of 100000", |bencher| {
        bencher.iter_batched(
            || {
                index += 1;
                let first = index as u32 * BATCH;
                let commands =
                    (first..first + BATCH).map(|number| put(number % TAGS, 1 + number / TAGS % 2)).collect();
                Batch { time_ms: index, commands }
            },
            |batch| apply(&mut view, 2, batch),
            BatchSize::SmallInput,
        )
    });
    group.finish();

    let (id, wanted) = (repository(), "t00050000".parse().expect("a tag"));
    criterion
        .bench_function("query/tag", |bencher| bencher.iter(|| tag::tag(&view, &id, black_box(&wanted))));
    criterion.bench_function("query/page of 1000 tags of 100000", |bencher| {
        bencher.iter(|| tag::tags(&view, &id, black_box(Some("t00050000")), 1000))
    });
}

criterion_group!(benches, state);
criterion_main!(benches);
