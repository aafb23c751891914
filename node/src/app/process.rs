//! What a node asks of the process that it runs in: standard output, open files, and to be told when to stop.

use std::io::Write;
use std::num::NonZeroUsize;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Says what a person must read.
pub(super) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("standard output does not take what must be read")
}

/// Each connection and each blob that is read takes a descriptor.
pub(super) fn raise_open_files() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it was");
    }
}

/// Ends when a signal asks the node to stop, or `stop` says so.
pub(super) fn watch_signals(
    stop: CancellationToken,
    draining: Arc<AtomicBool>,
) -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = stop.cancelled() => {}
        }
        tracing::info!("draining");
        draining.store(true, Ordering::Relaxed);
        stop.cancel();
    })
}

/// Says how many heaps glibc's allocator has (mallopt(3), `M_ARENA_MAX`).
const HEAPS: &str = "MALLOC_ARENA_MAX";

/// Starts the program anew, in this process, with one heap of the allocator for each core, unless a number is given. glibc has eight
/// for each core, and each keeps the most that its threads ever needed: twice the memory under a mixed load, and it
/// grows for hours. It reads the number from the environment when a program starts. Without it a node works as well.
pub(crate) fn limit_heaps() {
    if std::env::var_os(HEAPS).is_some() {
        return;
    }
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let mut arguments = std::env::args_os();
    // By its path, which gives the process its name.
    let Ok(program) = std::env::current_exe() else { return };
    let mut again = Command::new(program);
    again.arg0(arguments.next().unwrap_or_else(|| "shoal".into())).args(arguments);
    // It returns only if it cannot be done.
    let _ = again.env(HEAPS, cores.to_string()).exec();
}

/// From now on the allocator keeps the pages of freed buffers: up to 16 MiB at the end of each of its heaps. glibc sets its
/// limits by the largest block that was freed (mallopt(3), `M_MMAP_THRESHOLD`, `M_TRIM_THRESHOLD`); with those of the start it
/// gives the pages of every piece of a blob back and faults them in again for the next one, which is a quarter of the time
/// that a transfer between nodes takes.
pub(super) fn keep_pages() {
    const BLOCK: usize = 8 << 20;
    drop(std::hint::black_box(Vec::<u8>::with_capacity(BLOCK)));
}
