//! Repositories: CreateRepository, DeleteRepository, DescribeRepositories, PutImageTagMutability,
//! PutImageScanningConfiguration (ECR specification §4, §6.3, §6.4).

use std::collections::BTreeMap;

use cluster::StateReader;
use cluster_core::command::repository::{CreateRepository, RepositoryCommand, RepositoryRefusal};
use cluster_core::command::{Command, Response};
use cluster_core::record::{RepositoryRecord, RepositorySettings};
use cluster_core::state;
use proto::arn::Arn;
use proto::ecr::{Exception, Failure, Output};
use proto::name::RepositoryName;

use super::call::Call;
use super::{settings, unmade, unread};
use crate::registry::creation::MOST_REPOSITORIES;

/// Repositories of a page if the request does not say.
const PAGE: i64 = 100;
/// Images that go with one entry when a repository is deleted with all it has.
const CLEARED: u32 = 500;
/// How often a deletion begins anew because somebody pushes meanwhile.
const ATTEMPTS: usize = 5;

/// Proposes a change of the repository and tells a refusal in the dialect's words.
pub(super) async fn change(
    call: &Call<'_>,
    name: &RepositoryName,
    command: RepositoryCommand,
) -> Result<Response, Failure> {
    let proposed = call.use_cases().metadata.propose(Command::Repository(Box::new(command))).await;
    match proposed.map_err(|error| unmade(error.into()))? {
        // Whose document it is says it in its own words.
        Response::RepositoryRefused(RepositoryRefusal::DocumentNotFound) => Ok(Response::NotFound),
        Response::RepositoryRefused(refusal) => Err(refused(call, name, refusal)),
        response => Ok(response),
    }
}

fn refused(call: &Call<'_>, name: &RepositoryName, refusal: RepositoryRefusal) -> Failure {
    let account = &call.registry.account;
    match refusal {
        RepositoryRefusal::Exists => Failure::repository_already_exists(name, account),
        RepositoryRefusal::NotFound => Failure::repository_not_found(name, account),
        RepositoryRefusal::NotEmpty => Failure::repository_not_empty(name, account),
        RepositoryRefusal::Limit => {
            let text =
                format!("The registry has {MOST_REPOSITORIES} repositories, which are all that it may have");
            Failure::new(Exception::LimitExceeded, text)
        }
        RepositoryRefusal::TooManyTags => settings::too_many_tags(),
        // Handlers whose documents these are ask before.
        RepositoryRefusal::DocumentTooLong
        | RepositoryRefusal::DocumentExists
        | RepositoryRefusal::DocumentNotFound => Failure::server(),
    }
}

/// Makes an empty repository.
pub(super) async fn create(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    let settings = RepositorySettings {
        mutability: settings::mutability(&call.input)?,
        scans_on_push: scans_on_push(call),
        encryption: settings::encryption(&call.input)?,
        tags: settings::resource_tags(&call.input, "tags")?,
    };
    let create = CreateRepository {
        repository: call.id(&name),
        settings: settings.clone(),
        documents: BTreeMap::new(),
        most: MOST_REPOSITORIES,
    };
    match change(call, &name, RepositoryCommand::Create(create)).await? {
        Response::RepositoryChanged { created_ms } => {
            Ok(Output::new().with("repository", one(call, &name, created_ms, &settings)?))
        }
        _ => Err(Failure::server()),
    }
}

fn scans_on_push(call: &Call<'_>) -> bool {
    call.input.structure_if("imageScanningConfiguration").is_some_and(|asked| asked.flag("scanOnPush"))
}

/// Deletes a repository, with `force` also all images in it: these go first, some at a time, so a crash leaves a
/// repository with fewer of them.
pub(super) async fn delete(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    let (reader, id) = (call.exists(&name).await?, call.id(&name));
    let record = record(&reader, call, &name)?;
    drop(reader);
    let described = one(call, &name, record.created_ms, &record.settings)?;
    for _ in 0..ATTEMPTS {
        if call.input.flag("force") {
            let clear = || RepositoryCommand::Clear { repository: id.clone(), limit: CLEARED };
            while change(call, &name, clear()).await? == (Response::RepositoryCleared { is_done: false }) {}
        }
        match finish(call, &name).await {
            Err(failure)
                if call.input.flag("force") && failure.exception() == Exception::RepositoryNotEmpty => {}
            Err(failure) => return Err(failure),
            Ok(()) => {
                call.use_cases().settle().await;
                return Ok(Output::new().with("repository", described));
            }
        }
    }
    Err(Failure::repository_not_empty(&name, &call.registry.account))
}

async fn finish(call: &Call<'_>, name: &RepositoryName) -> Result<(), Failure> {
    let delete = || RepositoryCommand::Delete { repository: call.id(name), limit: CLEARED };
    loop {
        match change(call, name, delete()).await? {
            Response::RepositoryCleared { is_done: false } => {}
            Response::RepositoryCleared { is_done: true } => return Ok(()),
            _ => return Err(Failure::server()),
        }
    }
}

/// Those that are named, of which each must exist, or a page of all.
pub(super) async fn describe(call: &Call<'_>) -> Result<Output, Failure> {
    let named: Result<Vec<RepositoryName>, _> = call.input.texts("repositoryNames").map(str::parse).collect();
    let named = named.map_err(|error| Failure::invalid_parameter("repositoryNames", error))?;
    if named.is_empty() {
        return page(call).await;
    }
    if call.input.has("nextToken") || call.input.has("maxResults") {
        let reason = "may not be given together with repositoryNames";
        return Err(Failure::invalid_parameter("nextToken", reason));
    }
    let reader = call.use_cases().metadata.read().await.map_err(unread)?;
    let mut repositories = Vec::new();
    for name in named {
        call.authorize(&name)?;
        let record = record(&reader, call, &name)?;
        repositories.push(one(call, &name, record.created_ms, &record.settings)?);
    }
    Ok(Output::new().with_list("repositories", repositories))
}

async fn page(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let pages = call.pages(&[]);
    let after = call.input.text_if("nextToken").map(|text| pages.open(text)).transpose()?;
    let reader = call.use_cases().metadata.read().await.map_err(unread)?;
    let page = state::repository::repositories(&reader, &call.registry, after.as_deref(), call.limit(PAGE));
    let page = page.map_err(|error| unread(error.into()))?;
    let mut repositories = Vec::new();
    for name in &page.items {
        let record = record(&reader, call, name)?;
        repositories.push(one(call, name, record.created_ms, &record.settings)?);
    }
    let next = page.more.then(|| page.items.last().map(|last| pages.seal(last.as_str()))).flatten();
    Ok(Output::new().with_list("repositories", repositories).with("nextToken", next))
}

/// The repository's record; refused if there is no such repository.
pub(super) fn record(
    reader: &StateReader,
    call: &Call<'_>,
    name: &RepositoryName,
) -> Result<RepositoryRecord, Failure> {
    let found = state::repository::repository(reader, &call.id(name));
    let missing = || Failure::repository_not_found(name, &call.registry.account);
    found.map_err(|error| unread(error.into()))?.ok_or_else(missing)
}

/// Says which tags may move from now on.
pub(super) async fn set_mutability(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    let mutability = settings::mutability(&call.input)?;
    let command =
        RepositoryCommand::SetMutability { repository: call.id(&name), mutability: mutability.clone() };
    change(call, &name, command).await?;
    Ok(settings::with_mutability(call.about(&name), &mutability))
}

/// Says whether images are scanned when they are pushed.
pub(super) async fn set_scanning(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    let scans_on_push = scans_on_push(call);
    let command = RepositoryCommand::SetScanOnPush { repository: call.id(&name), scans_on_push };
    change(call, &name, command).await?;
    let scanning = Output::new().with("scanOnPush", scans_on_push);
    Ok(call.about(&name).with("imageScanningConfiguration", scanning))
}

pub(super) fn arn(call: &Call<'_>, name: &RepositoryName) -> String {
    Arn::repository(call.operation.service().as_str(), &call.registry, name).as_str().to_owned()
}

/// A `Repository`.
fn one(
    call: &Call<'_>,
    name: &RepositoryName,
    created_ms: u64,
    settings: &RepositorySettings,
) -> Result<Output, Failure> {
    let endpoint = call.registry_url(&call.registry.account)?;
    let host = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, host)| host);
    let output = call
        .about(name)
        .with("repositoryArn", arn(call, name))
        .with("repositoryUri", format!("{host}/{name}"))
        .with_time("createdAt", created_ms)
        .with("imageScanningConfiguration", Output::new().with("scanOnPush", settings.scans_on_push))
        .with("encryptionConfiguration", settings::encryption_output(&settings.encryption));
    Ok(settings::with_mutability(output, &settings.mutability))
}
