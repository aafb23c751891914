//! The first start of a cluster: its id, its default registry, and the first password of root.

use anyhow::Result;
use cluster::Metadata;
use cluster_core::command::{Command, InitCluster};

use super::print;
use crate::auth::{ROOT_USER, Secret, password};
use crate::config::Config;

/// Characters of a made-up password: 24 of 57 are 140 bits.
const PASSWORD_LENGTH: usize = 24;

/// Makes the cluster; tells the password if nobody gave one. A crash in the middle leaves a first start.
pub(super) async fn create(config: &Config, metadata: &Metadata) -> Result<()> {
    let made_up = config.root_password.is_none();
    let password = match &config.root_password {
        Some(password) => password.clone(),
        None => make_password()?,
    };
    if made_up {
        // Before the commit: a crash in between leads to another first start and another password,
        // while the other way round nobody would know the password that holds.
        let shown = password.expose();
        print(&format!("root password: {shown}\n(shown only now; the user is {ROOT_USER})\n"))?;
    }
    let hashing = tokio::task::spawn_blocking(move || password::hash(&password));
    let root_password_hash =
        hashing.await?.map_err(|error| anyhow::anyhow!("the password cannot be hashed: {error}"))?;
    let mut cluster_id = [0; 16];
    getrandom::fill(&mut cluster_id)?;
    let registry = config.default_registry();
    let command = InitCluster { cluster_id, registry, root_password_hash };
    metadata.propose(Command::InitCluster(command)).await?;
    Ok(())
}

/// Letters and digits that are not mistaken for each other.
fn make_password() -> Result<Secret> {
    const LETTERS: &[u8; 57] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut text = String::new();
    while text.len() < PASSWORD_LENGTH {
        let mut random = [0; 64];
        getrandom::fill(&mut random)?;
        // Bytes past a multiple of the alphabet would favour its beginning.
        let fair = random.iter().filter(|byte| usize::from(**byte) < 4 * LETTERS.len());
        text.extend(fair.map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])));
    }
    text.truncate(PASSWORD_LENGTH);
    Ok(Secret::new(text))
}
