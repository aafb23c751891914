//! A node's key as libp2p sees it. A peer id is the key itself, so both ways are pure.

use libp2p::PeerId;
use libp2p::identity::{Keypair, PublicKey, ed25519};
use proto::identity::PeerKey;

use crate::error::StartError;

/// The key pair of a seed.
pub(crate) fn keypair(mut seed: [u8; 32]) -> Result<Keypair, StartError> {
    Keypair::ed25519_from_bytes(&mut seed).map_err(|_| StartError::Key)
}

/// The peer that has this key; `None` if the bytes are no point of the curve.
pub(crate) fn peer_of(key: PeerKey) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(key.as_bytes()).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// The key of this peer; `None` if it is not ed25519.
pub(crate) fn key_of(peer: PeerId) -> Option<PeerKey> {
    /// Multihash code of "the bytes themselves".
    const IDENTITY: u64 = 0;
    let hash = libp2p::multihash::Multihash::<64>::from(peer);
    if hash.code() != IDENTITY {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(hash.digest()).ok()?.try_into_ed25519().ok()?;
    Some(PeerKey::new(key.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_its_peer_name_each_other() {
        for seed in 0..32 {
            let pair = keypair([seed; 32]).expect("a key");
            let peer = pair.public().to_peer_id();
            let key = key_of(peer).expect("ed25519");
            assert_eq!(peer_of(key), Some(peer));
            assert_eq!(key.as_bytes(), &pair.try_into_ed25519().expect("ed25519").public().to_bytes());
        }
    }

    #[test]
    fn bytes_off_the_curve_are_nobody() {
        let mut bytes = [0; 32];
        bytes[0] = 2;
        assert_eq!(peer_of(PeerKey::new(bytes)), None);
    }
}
