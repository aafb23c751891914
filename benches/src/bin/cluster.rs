//! `cluster`: measures several nodes of Shoal, beside etcd where it is a peer, and prints one table.
//!
//! Owns the command line and the order of the sections. `benches/cluster` starts it.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use benches::cluster::table::table;
use benches::cluster::{Bench, Scale, failover, swarm, transfer, writes};
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

/// Measure clusters of Shoal on this machine
#[derive(Parser)]
struct Options {
    /// Sections to measure; all if none is named
    #[arg(value_enum)]
    sections: Vec<Section>,
    /// The binary to measure; the one beside this tool if absent
    #[arg(long, env = "BENCH_SHOAL")]
    shoal: Option<PathBuf>,
    /// Small sizes that show that all works, not how fast
    #[arg(long)]
    quick: bool,
    /// Where nodes keep their data, on a real file system
    #[arg(long, default_value = "target/bench")]
    disk: PathBuf,
    /// Where the nodes of the swarm keep theirs, in memory
    #[arg(long, default_value = "/dev/shm")]
    memory: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Section {
    /// Metadata writes on three nodes, beside etcd
    Writes,
    /// The leader killed and stopped, beside etcd
    Failover,
    /// A large push to three nodes, beside one node
    Push,
    /// A large blob from another node: rate and memory
    Fetch,
    /// Many nodes pull one blob at once (needs root)
    Swarm,
    /// Regions joined by slow links pull one blob at once (needs root)
    Regions,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut terminated = signal(SignalKind::terminate())?;
    // Dropping the section ends its processes and removes its namespaces and directories.
    tokio::select! {
        done = run(options) => done,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = terminated.recv() => anyhow::bail!("terminated"),
    }
}

async fn run(options: Options) -> anyhow::Result<()> {
    let shoal =
        options.shoal.map_or_else(|| Ok(std::env::current_exe()?.with_file_name("shoal")), anyhow::Ok)?;
    let shoal = shoal.canonicalize().context("no binary of shoal: cargo build --release -p node")?;
    let sections = match options.sections.is_empty() {
        true => Section::value_variants().to_vec(),
        false => options.sections,
    };
    let (mut rows, mut notes) = (Vec::new(), Vec::new());
    if options.quick {
        notes.push("QUICK: sizes too small to judge by.".into());
    }
    std::fs::create_dir_all(&options.disk)?;
    for section in sections {
        // New directories for each section: the disk need not hold all of them at once.
        let (disk, memory) =
            (tempfile::tempdir_in(options.disk.canonicalize()?)?, tempfile::tempdir_in(&options.memory)?);
        let scale = if options.quick { Scale::QUICK } else { Scale::FULL };
        let bench =
            Bench { shoal: shoal.clone(), disk: disk.path().into(), memory: memory.path().into(), scale };
        say(&format!("{section:?} …"))?;
        let measured = match section {
            Section::Writes => writes::measure(&bench).await,
            Section::Failover => failover::measure(&bench).await,
            Section::Push => transfer::measure_push(&bench).await,
            Section::Fetch => transfer::measure_fetch(&bench).await,
            Section::Swarm => swarm::measure_swarm(&bench).await,
            Section::Regions => swarm::measure_regions(&bench).await,
        };
        match measured {
            Ok((measured, said)) => {
                for row in &measured {
                    say(&row.line())?;
                }
                rows.extend(measured);
                notes.extend(said);
            }
            Err(error) => {
                let failed = format!("{section:?} FAILED: {error:#}");
                say(&failed)?;
                notes.push(failed);
            }
        }
    }
    std::io::stdout().write_all(table(&rows, &notes).as_bytes())?;
    Ok(())
}

/// Progress, for whoever waits.
fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stderr(), "{line}")?)
}
