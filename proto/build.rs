//! Compiles the wire formats in `wire/` to Rust, without a system protoc.

use std::error::Error;

const FILES: [&str; 8] = [
    "wire/command.proto",
    "wire/principal.proto",
    "wire/repository.proto",
    "wire/record.proto",
    "wire/raft.proto",
    "wire/peer.proto",
    "wire/join.proto",
    "wire/exchange.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let files = protox::compile(FILES, ["wire"])?;
    // Ordered maps: the same value must always have the same bytes.
    prost_build::Config::new().btree_map(["."]).compile_fds(files)?;
    Ok(())
}
