//! `load`: drives one workload against one registry and prints what it cost.
//!
//! Owns the command line and the choice of workload. Give it only servers that are yours: it asks as
//! fast as it can, for at most the time and count given.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use benches::auth::{Credentials, Purpose, login};
use benches::client::{Connection, Target};
use benches::content::BlobSource;
use benches::drive::{Limits, drive};
use benches::process::{Watch, own_cpu_seconds};
use benches::report::{Outcome, Report};
use benches::size::parse_size;
use benches::workload::read::Reference;
use benches::workload::{
    AccessKey, AuthorizationToken, BlobGet, BlobPush, FillRepositories, FillTags, ImagePush, Operation, Read,
    Upload, fresh_base,
};
use clap::{Parser, Subcommand};
use hyper::Method;

/// Operations between two logins of a fill, so that no token runs out.
const FILL_ROUND: u64 = 20_000;

/// Measure an OCI registry under load.
#[derive(Parser)]
struct Options {
    /// Server, as http://host:port
    #[arg(long)]
    url: String,
    /// name:password; anonymous without it
    #[arg(long, env = "LOAD_USER", hide_env_values = true, value_parser = Credentials::parse)]
    user: Option<Credentials>,
    /// Repository to work in; prefix of the repositories that fill-repositories makes
    #[arg(long, default_value = "bench/load")]
    repository: String,
    /// Operations under way at once
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=4096))]
    concurrency: u16,
    /// Begin no operation after so many seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Begin no more than so many operations (fill: tags or repositories)
    #[arg(long)]
    count: Option<u64>,
    /// Process of the server, to measure its processor time and memory
    #[arg(long)]
    pid: Option<u32>,
    /// Name of the server in the report
    #[arg(long, default_value = "server")]
    label: String,
    /// Print one JSON line instead of a table
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Subcommand)]
enum Workload {
    /// Read a blob to its end
    BlobGet {
        /// Size of the blob, pushed first unless it is there
        #[arg(long, default_value = "1GiB", value_parser = parse_size)]
        size: u64,
        /// Read this path instead, from any web server
        #[arg(long)]
        path: Option<String>,
        /// Read each stream no faster than so many bytes a second
        #[arg(long, value_parser = parse_size)]
        bytes_per_second: Option<u64>,
    },
    /// Push blobs
    BlobPush {
        /// Size of each blob, at least 16 bytes
        #[arg(long, default_value = "1GiB", value_parser = parse_size)]
        size: u64,
        /// How the bytes travel
        #[arg(long, value_enum, default_value = "monolithic")]
        upload: Upload,
    },
    /// GET a manifest of 2 KiB
    ManifestGet(Manifest),
    /// HEAD a manifest of 2 KiB
    ManifestHead(Manifest),
    /// Push images: config, one layer, manifest
    ImagePush {
        /// Size of the layer
        #[arg(long, default_value = "10KiB", value_parser = parse_size)]
        layer_size: u64,
    },
    /// Read the first page of the repository's tags
    TagList {
        /// Tags in a page
        #[arg(long, default_value_t = 1000)]
        page: u32,
    },
    /// Read the first page of the catalog
    Catalog {
        /// Repositories in a page
        #[arg(long, default_value_t = 1000)]
        page: u32,
    },
    /// Ask Amazon ECR's API for a password
    AuthorizationToken {
        /// File with an access key, as `shoal key create --output json` prints it
        #[arg(long)]
        key: std::path::PathBuf,
        /// Region of the signature
        #[arg(long, default_value = "local")]
        region: String,
    },
    /// Set many tags of one image
    FillTags,
    /// Make many repositories with one image each
    FillRepositories,
}

#[derive(clap::Args)]
struct Manifest {
    /// Read this path instead, from any web server
    #[arg(long)]
    path: Option<String>,
    /// How the manifest is named
    #[arg(long, value_enum, default_value = "tag")]
    by: Reference,
}

impl Workload {
    fn name(&self) -> &'static str {
        match self {
            Self::BlobGet { .. } => "blob-get",
            Self::BlobPush { .. } => "blob-push",
            Self::ManifestGet(_) => "manifest-get",
            Self::ManifestHead(_) => "manifest-head",
            Self::ImagePush { .. } => "image-push",
            Self::TagList { .. } => "tag-list",
            Self::Catalog { .. } => "catalog",
            Self::AuthorizationToken { .. } => "authorization-token",
            Self::FillTags => "fill-tags",
            Self::FillRepositories => "fill-repositories",
        }
    }

    async fn prepare(
        &self,
        connection: &mut Connection,
        repository: &str,
        url: &str,
    ) -> anyhow::Result<Operation> {
        let repository = repository.to_owned();
        Ok(match self {
            Self::BlobGet { size, path, bytes_per_second } => {
                let path = match path {
                    Some(path) => path.clone(),
                    None => BlobGet::prepare(connection, &repository, *size).await?,
                };
                Operation::BlobGet(BlobGet::at(path, *bytes_per_second))
            }
            Self::BlobPush { size, upload } => {
                anyhow::ensure!(*size >= 16, "a blob of less than 16 bytes cannot be unique");
                let source = BlobSource::new(*size);
                Operation::BlobPush(BlobPush { repository, source, base: fresh_base(), upload: *upload })
            }
            Self::ManifestGet(manifest) => manifest.prepare(connection, &repository, Method::GET).await?,
            Self::ManifestHead(manifest) => manifest.prepare(connection, &repository, Method::HEAD).await?,
            Self::ImagePush { layer_size } => {
                let layers = BlobSource::new((*layer_size).max(16));
                Operation::ImagePush(ImagePush { repository, layers, base: fresh_base() })
            }
            Self::TagList { page } => Operation::Read(Read {
                method: Method::GET,
                path: format!("/v2/{repository}/tags/list?n={page}"),
            }),
            Self::Catalog { page } => {
                Operation::Read(Read { method: Method::GET, path: format!("/v2/_catalog?n={page}") })
            }
            Self::AuthorizationToken { key, region } => {
                let key: AccessKey = serde_json::from_slice(&std::fs::read(key)?)?;
                let host = url.split_once("://").map_or(url, |(_, host)| host).trim_end_matches('/');
                Operation::AuthorizationToken(AuthorizationToken::new(&key, region, host)?)
            }
            Self::FillTags => Operation::FillTags(FillTags::prepare(connection, &repository).await?),
            Self::FillRepositories => {
                Operation::FillRepositories(FillRepositories::prepare(connection, &repository).await?)
            }
        })
    }
}

impl Manifest {
    async fn prepare(
        &self,
        connection: &mut Connection,
        repository: &str,
        method: Method,
    ) -> anyhow::Result<Operation> {
        let path = match &self.path {
            Some(path) => path.clone(),
            None => Read::prepare_manifest(connection, repository, self.by).await?,
        };
        Ok(Operation::Read(Read { method, path }))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let report = run(&options).await?;
    let mut text = if options.json { serde_json::to_string(&report)? } else { report.table() };
    text.push('\n');
    std::io::stdout().write_all(text.as_bytes())?;
    anyhow::ensure!(
        report.items > 0 || report.mib_per_second > 0.0,
        "nothing succeeded: {:?}",
        report.errors
    );
    Ok(())
}

async fn run(options: &Options) -> anyhow::Result<Report> {
    let target = login_for(options).await?;
    let mut connection = Connection::open(Arc::clone(&target)).await?;
    let operation = options
        .workload
        .prepare(&mut connection, &options.repository, &options.url)
        .await
        .context("prepare the workload")?;
    drop(connection);

    let watch = options.pid.map(Watch::begin);
    let own = own_cpu_seconds();
    let outcome = match &operation {
        Operation::FillTags(fill) => {
            let batch = fill.batch();
            fill_in_rounds(options, operation, batch).await?
        }
        Operation::FillRepositories(_) => fill_in_rounds(options, operation, 1).await?,
        _ => drive(&target, operation.into(), 0, limits(options, options.count.unwrap_or(u64::MAX))).await?,
    };
    let own = own_cpu_seconds() - own;
    let usage = watch.map(Watch::finish);
    let name = options.workload.name();
    Ok(Report::new(&options.label, name, options.concurrency.into(), outcome, own, usage))
}

async fn login_for(options: &Options) -> anyhow::Result<Arc<Target>> {
    let purpose = match options.workload {
        Workload::FillRepositories => Purpose::ManyRepositories,
        _ => Purpose::Repository(options.repository.clone()),
    };
    let target = Target::new(&options.url)?;
    if matches!(options.workload, Workload::AuthorizationToken { .. }) {
        return Ok(Arc::new(target));
    }
    Ok(Arc::new(login(target, options.user.as_ref(), &purpose).await.context("log in")?))
}

fn limits(options: &Options, count: u64) -> Limits {
    let duration = Duration::from_secs(options.seconds);
    Limits { concurrency: options.concurrency.into(), count, duration }
}

/// Fills until the count or the time is reached, with a fresh login for each round.
async fn fill_in_rounds(options: &Options, operation: Operation, batch: u64) -> anyhow::Result<Outcome> {
    let steps = options.count.unwrap_or(100_000).div_ceil(batch);
    let operation = Arc::new(operation);
    let mut sum = Outcome::default();
    let mut first = 0;
    while first < steps && sum.elapsed.as_secs() < options.seconds {
        let target = login_for(options).await?;
        let mut limits = limits(options, FILL_ROUND.min(steps - first));
        limits.duration = limits.duration.saturating_sub(sum.elapsed);
        let round = drive(&target, Arc::clone(&operation), first, limits).await?;
        let elapsed = sum.elapsed + round.elapsed;
        sum.merge(round);
        sum.elapsed = elapsed;
        first += FILL_ROUND;
    }
    Ok(sum)
}
