//! The parsers that every request passes: name, reference, range, manifest.

use std::hint::black_box;

use benches::content::{Blob, BlobSource, MANIFEST_TYPE, config, manifest};
use criterion::{Criterion, criterion_group, criterion_main};
use proto::digest::Digest;
use proto::manifest::Manifest;
use proto::name::{Reference, RepositoryName};
use proto::range::Selection;

fn parsers(criterion: &mut Criterion) {
    let layers: Vec<Blob> = (0..10).map(|layer| BlobSource::new(1024).blob(layer)).collect();
    let document = manifest(&config(0), &layers, "", 2048);
    let digest = config(0).digest.to_string();

    criterion.bench_function("parse/repository name", |bencher| {
        bencher.iter(|| black_box("team/service-name/linux_amd64").parse::<RepositoryName>())
    });
    criterion.bench_function("parse/tag", |bencher| {
        bencher.iter(|| black_box("v1.2.3-rc.1").parse::<Reference>())
    });
    criterion.bench_function("parse/digest", |bencher| bencher.iter(|| black_box(&digest).parse::<Digest>()));
    criterion.bench_function("parse/range", |bencher| {
        bencher.iter(|| Selection::parse(black_box("bytes=1048576-2097151"), 1 << 30))
    });
    criterion.bench_function("parse/manifest of 10 layers", |bencher| {
        bencher.iter(|| Manifest::parse(Some(MANIFEST_TYPE), black_box(&document)))
    });
}

criterion_group!(benches, parsers);
criterion_main!(benches);
