//! Checking a signed request as the AWS CLI sends it: with the derived key kept, and with a secret only.

#![expect(clippy::expect_used, reason = "without its setting a benchmark has nothing to measure")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use proto::digest::{Algorithm, Digest};
use proto::sigv4::{Request, SecretKey, Signed, Signer, SigningKey};

/// What a client sends beside the signature; of these it signs the first three.
const HEADERS: [(&str, &[u8]); 8] = [
    ("host", b"api.ecr.eu-north-1.example.com:8443"),
    ("content-type", b"application/x-amz-json-1.1"),
    ("x-amz-target", b"AmazonEC2ContainerRegistry_V20150921.BatchCheckLayerAvailability"),
    ("user-agent", b"aws-cli/2.31.0 md/awscrt#0.27.6 ua/2.1 os/linux#6.8 md/arch#x86_64 lang/python#3.13.7"),
    ("accept-encoding", b"identity"),
    ("amz-sdk-invocation-id", b"7a6f2f4e-2a55-4c6a-9d36-0d6f0a1f0f3e"),
    ("amz-sdk-request", b"attempt=1"),
    ("content-length", b"2"),
];

fn checking(criterion: &mut Criterion) {
    let secret: SecretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".parse().expect("a secret");
    let signer = Signer {
        key_id: "AKIAIOSFODNN7EXAMPLE".parse().expect("a key id"),
        secret: secret.clone(),
        token: None,
        region: "eu-north-1".parse().expect("a region"),
        service: "ecr".parse().expect("a service"),
    };
    let body = Digest::of(Algorithm::Sha256, b"{}");
    let unsigned = Request { method: "POST", path: "/", query: "", headers: &HEADERS[..3] };
    let now = time::OffsetDateTime::from_unix_timestamp(1_767_323_045).expect("a time");
    let added = signer.sign(&unsigned, &body, now).expect("a signature");
    let mut headers = HEADERS.to_vec();
    headers.extend(added.iter().map(|(name, value)| (*name, value.as_bytes())));
    let request = Request { headers: &headers, ..unsigned };

    let skew = Duration::from_mins(15);
    let scope = Signed::parse(&request).expect("a signed request").scope().clone();
    let kept = SigningKey::derive(&secret, &scope);

    let mut group = criterion.benchmark_group("sigv4");
    group.throughput(Throughput::Elements(1));
    group.bench_function("parse", |bencher| bencher.iter(|| Signed::parse(black_box(&request)).is_ok()));
    group.bench_function("parse and verify, key kept", |bencher| {
        bencher.iter(|| {
            let signed = Signed::parse(black_box(&request)).expect("a signed request");
            signed.verify(&kept, &body, now, skew).expect("a good signature");
        });
    });
    group.bench_function("parse and verify, key derived", |bencher| {
        bencher.iter(|| {
            let signed = Signed::parse(black_box(&request)).expect("a signed request");
            let key = SigningKey::derive(&secret, signed.scope());
            signed.verify(&key, &body, now, skew).expect("a good signature");
        });
    });
    group.bench_function("sign", |bencher| {
        bencher.iter(|| signer.sign(black_box(&unsigned), &body, now).is_ok());
    });
    group.finish();
}

criterion_group!(benches, checking);
criterion_main!(benches);
