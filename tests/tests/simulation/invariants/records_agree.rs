//! I12 and I13: every manifest's blobs are linked in its repository, nothing leads to a missing record, and the
//! counts equal a recount.

use std::collections::BTreeMap;

use cluster::StateReader;
use cluster_core::state;
use proto::digest::Digest;

use crate::client::{self, Shared, repository};
use crate::world::{World, lock};

pub(crate) fn check(world: &World, known: &Shared, reader: &StateReader) {
    if let Err(problem) = recount(known, reader) {
        world.violated("I12/I13", problem);
    }
}

fn recount(known: &Shared, reader: &StateReader) -> Result<(), String> {
    let unreadable = |error: &dyn std::fmt::Debug| format!("{error:?}");
    let manifests: Vec<_> = lock(known).manifests.iter().copied().collect();
    let mut references: BTreeMap<(u64, Digest), u32> = BTreeMap::new();
    for (repo, digest) in manifests {
        let record = state::manifest::manifest(reader, &repository(repo), &digest);
        for blob in record.map_err(|error| unreadable(&error))?.iter().flat_map(|record| record.blobs.iter())
        {
            *references.entry((repo, *blob)).or_default() += 1;
        }
    }
    for blob in client::blobs() {
        let mut links = 0;
        for repo in client::repositories() {
            let linked = state::blob::linked_blob(reader, &repository(repo), &blob);
            let counted = references.get(&(repo, blob)).copied().unwrap_or(0);
            match linked.map_err(|error| unreadable(&error))? {
                Some((link, _)) if link.references == counted => links += 1,
                Some((link, _)) => {
                    return Err(format!("{blob}: {} references, not {counted}", link.references));
                }
                None if counted == 0 => {}
                None => return Err(format!("{blob} is needed in app{repo} and not linked")),
            }
        }
        let record = state::blob::blob(reader, &blob).map_err(|error| unreadable(&error))?;
        if record.as_ref().map_or(0, |record| record.links) != links {
            return Err(format!("{blob} has {links} links, its record says {record:?}"));
        }
    }
    for repo in client::repositories() {
        let tags = state::tag::tags(reader, &repository(repo), None, usize::MAX);
        for tag in tags.map_err(|error| unreadable(&error))?.items {
            let record =
                state::tag::tag(reader, &repository(repo), &tag).map_err(|error| unreadable(&error))?;
            let Some(record) = record else { return Err(format!("tag {tag} is listed only")) };
            let manifest = state::manifest::manifest(reader, &repository(repo), &record.digest);
            if !matches!(manifest, Ok(Some(_))) {
                return Err(format!("tag {tag} leads to {}, which is not there", record.digest));
            }
        }
    }
    Ok(())
}
