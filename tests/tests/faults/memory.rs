//! E33: an upload of any size takes the same memory.

use std::io::{Read, Write};
use std::net::TcpStream;

use sha2::{Digest, Sha256};
use tests::http::Client;

use crate::node::{Node, Place};
use crate::{alone, report, size};

/// What a large upload may take more than a small one.
const GROWTH: u64 = 16 << 20;
const SMALL_MIB: usize = 16;
const BUFFER: usize = 1 << 20;

#[test]
fn an_upload_of_any_size_takes_the_same_memory() {
    let _alone = alone();
    let large_mib = size(256, 8192);
    let place = Place::new();
    let (node, root) = (place.start(), place.root());
    let small = upload(&node, &root, SMALL_MIB);
    let large = upload(&node, &root, large_mib);
    let mib = |bytes: u64| bytes >> 20;
    report(
        "E33",
        &format!(
            "resident {} MiB (at most {}) after {SMALL_MIB} MiB, {} MiB (at most {}) after {large_mib} MiB",
            mib(small.0),
            mib(small.1),
            mib(large.0),
            mib(large.1),
        ),
    );
    assert!(large.0.saturating_sub(small.0) <= GROWTH, "memory grew with the upload");
    assert!(large.1.saturating_sub(small.1) <= GROWTH, "memory grew during the upload");
}

/// Uploads `mib` MiB in one request and returns the node's memory now and at most.
fn upload(node: &Node, root: &Client, mib: usize) -> (u64, u64) {
    let part = |number: usize| {
        let mut part = vec![(number % 251) as u8; BUFFER];
        part[..8].copy_from_slice(&number.to_be_bytes());
        part
    };
    let mut hasher = Sha256::new();
    (0..mib).for_each(|number| hasher.update(part(number)));
    let digest: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let head = format!(
        "POST /v2/large/blobs/uploads/?digest=sha256:{digest} HTTP/1.1\r\nHost: {}\r\n{}Content-Length: {}\r\nConnection: close\r\n\r\n",
        root.host(),
        root.authorization_line(),
        mib * BUFFER,
    );
    let mut stream = TcpStream::connect(root.host()).expect("a connection");
    stream.write_all(head.as_bytes()).expect("sent");
    for number in 0..mib {
        stream.write_all(&part(number)).expect("sent");
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    node.memory()
}
