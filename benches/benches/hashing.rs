//! Taking in a blob: SHA-256 alone, and the store's pipeline of hash, piece list, write and fsync beside it.

#![expect(clippy::expect_used, reason = "without its setting a benchmark has nothing to measure")]

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use benches::content::{Blob, BlobSource};
use blobs::{BlobStore, Settings, UploadOwner};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http_body_util::BodyExt;
use proto::digest::{Algorithm, Digest};
use proto::identity::NodeId;

/// Size of the blob.
const SIZE: u64 = 64 << 20;

fn taking_in(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let node = NodeId::new(1).expect("a node id");
    let store = runtime.block_on(BlobStore::open(dir.path(), Settings::new(node))).expect("a store");
    let source = BlobSource::new(SIZE);

    let mut group = criterion.benchmark_group("take in 64 MiB");
    group.throughput(Throughput::Bytes(SIZE)).sample_size(10).measurement_time(Duration::from_secs(10));
    let bytes = runtime.block_on(source.blob(0).payload().collect()).map(|body| body.to_bytes());
    let bytes = bytes.unwrap_or_else(|never| match never {});
    group.bench_function("SHA-256 alone", |bencher| {
        bencher.iter(|| Digest::of(Algorithm::Sha256, black_box(&bytes)))
    });
    let mut number = 0;
    group.bench_function("store: hash, write, fsync", |bencher| {
        bencher.iter(|| {
            number += 1;
            runtime.block_on(put_and_remove(&store, &source.blob(number)));
        })
    });
    group.finish();
    runtime.block_on(store.shutdown(Duration::from_secs(10)));
}

async fn put_and_remove(store: &BlobStore, blob: &Blob) {
    let body = blob.payload().into_data_stream();
    let owner = UploadOwner { principal: "bench".to_owned(), repository: "bench".to_owned() };
    let upload = store.start_upload(owner, blob.digest.algorithm()).await.expect("a session");
    upload.append::<_, Infallible>(Some(0), Some(blob.size), body).await.expect("an appended body");
    let copy = upload.finish(blob.digest).await.expect("a stored blob");
    store.remove(&copy.digest, copy.generation).await.expect("a removed blob");
}

criterion_group!(benches, taking_in);
criterion_main!(benches);
