//! Records of what principals prove themselves with: access keys, robot tokens; and of what was revoked.

use proto::wire::record as wire;

use super::{Hidden, Owner, Record, RecordError};

/// A secret, encrypted by a key that is not in the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Only the nodes know what is in it.
    pub bytes: Hidden<Vec<u8>>,
    /// Number of the key that opens it.
    pub by: u32,
}

/// Whether an access key counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyState {
    /// What it signs is its owner's.
    Active,
    /// It proves nothing until it is active again.
    Inactive,
}

/// An access key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKeyRecord {
    /// Whose.
    pub owner: Owner,
    /// What requests are signed with: to check a signature, the secret itself is needed.
    pub sealed: Sealed,
    /// Whether it counts.
    pub state: KeyState,
    /// Log time.
    pub created_ms: u64,
}

/// A token for a machine, as a password of Docker's. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RobotTokenRecord {
    /// In whose name it acts.
    pub owner: Owner,
    /// For people.
    pub name: String,
    /// SHA-256 of the secret.
    pub secret_hash: Hidden<[u8; 32]>,
    /// Narrows what the owner may, as a session policy does; none: all that the owner may.
    pub policy: Option<String>,
    /// Worth nothing once log time is past this; none: does not end by itself.
    pub expires_ms: Option<u64>,
    /// Log time.
    pub created_ms: u64,
}

/// An authorization token is void before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedRecord {
    /// When it expires by itself: after that the record may go.
    pub until_ms: u64,
}

/// How many [`RevokedRecord`]s there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RevokedCountRecord {
    pub(crate) count: u32,
}

impl Record for AccessKeyRecord {
    type Wire = wire::AccessKey;

    fn to_wire(&self) -> wire::AccessKey {
        let (account, user) = self.owner.to_texts();
        wire::AccessKey {
            account,
            user,
            sealed: self.sealed.bytes.0.clone(),
            sealed_by: self.sealed.by,
            is_active: self.state == KeyState::Active,
            created_ms: self.created_ms,
        }
    }

    fn from_wire(wire: wire::AccessKey) -> Result<Self, RecordError> {
        Ok(Self {
            owner: Owner::from_texts(&wire.account, &wire.user).map_err(RecordError::Field)?,
            sealed: Sealed { bytes: Hidden(wire.sealed), by: wire.sealed_by },
            state: if wire.is_active { KeyState::Active } else { KeyState::Inactive },
            created_ms: wire.created_ms,
        })
    }
}

impl Record for RobotTokenRecord {
    type Wire = wire::RobotToken;

    fn to_wire(&self) -> wire::RobotToken {
        let (account, user) = self.owner.to_texts();
        wire::RobotToken {
            account,
            user,
            name: self.name.clone(),
            secret_hash: self.secret_hash.0.to_vec(),
            policy: self.policy.clone(),
            expires_ms: self.expires_ms,
            created_ms: self.created_ms,
        }
    }

    fn from_wire(wire: wire::RobotToken) -> Result<Self, RecordError> {
        let secret_hash = wire.secret_hash.try_into().map_err(|_| RecordError::Field("secret hash"))?;
        Ok(Self {
            owner: Owner::from_texts(&wire.account, &wire.user).map_err(RecordError::Field)?,
            name: wire.name,
            secret_hash: Hidden(secret_hash),
            policy: wire.policy,
            expires_ms: wire.expires_ms,
            created_ms: wire.created_ms,
        })
    }
}

impl Record for RevokedRecord {
    type Wire = wire::RevokedAuthorization;

    fn to_wire(&self) -> wire::RevokedAuthorization {
        wire::RevokedAuthorization { until_ms: self.until_ms }
    }

    fn from_wire(wire: wire::RevokedAuthorization) -> Result<Self, RecordError> {
        Ok(Self { until_ms: wire.until_ms })
    }
}

impl Record for RevokedCountRecord {
    type Wire = wire::RevokedCount;

    fn to_wire(&self) -> wire::RevokedCount {
        wire::RevokedCount { count: self.count }
    }

    fn from_wire(wire: wire::RevokedCount) -> Result<Self, RecordError> {
        Ok(Self { count: wire.count })
    }
}
