use super::*;

fn keyring() -> (tempfile::TempDir, Keyring) {
    let dir = tempfile::tempdir().expect("a directory");
    let keyring = Keyring::open(dir.path()).expect("opened");
    (dir, keyring)
}

#[test]
fn what_was_sealed_is_opened_after_a_restart_for_its_owner_alone() {
    let (dir, keyring) = keyring();
    assert!(matches!(keyring.seal("AKIA1", b"secret"), Err(KeyringError::Empty)));
    keyring.make().expect("a key");
    let sealed = keyring.seal("AKIA1", b"secret").expect("sealed");
    assert_ne!(keyring.seal("AKIA1", b"secret").expect("sealed"), sealed, "never the same twice");
    keyring.make().expect("another key");
    let again = Keyring::open(dir.path()).expect("opened again");
    assert_eq!(again.unseal("AKIA1", &sealed).expect("opened"), b"secret");
    assert!(matches!(again.unseal("AKIA2", &sealed), Err(KeyringError::Damaged)));
    assert_ne!(again.seal("AKIA1", b"secret").expect("sealed").by, sealed.by, "the newest seals");
}

#[test]
fn a_changed_bit_or_an_unknown_key_opens_nothing() {
    let (_dir, keyring) = keyring();
    keyring.make().expect("a key");
    let sealed = keyring.seal("AKIA1", b"secret").expect("sealed");
    for at in 0..sealed.bytes.0.len() {
        let mut changed = sealed.clone();
        changed.bytes.0[at] ^= 1;
        assert!(matches!(keyring.unseal("AKIA1", &changed), Err(KeyringError::Damaged)), "{at}");
    }
    for length in 0..sealed.bytes.0.len() {
        let short = Sealed { bytes: Hidden(sealed.bytes.0[..length].to_vec()), ..sealed.clone() };
        assert!(matches!(keyring.unseal("AKIA1", &short), Err(KeyringError::Damaged)), "{length}");
    }
    let other = Sealed { by: sealed.by ^ 1, ..sealed };
    assert!(matches!(keyring.unseal("AKIA1", &other), Err(KeyringError::Unknown(_))));
}

#[test]
fn nodes_that_give_each_other_their_keys_open_each_others_secrets() {
    let ((_first_dir, first), (_second_dir, second)) = (keyring(), keyring());
    first.make().expect("a key");
    second.make().expect("a key");
    let sealed = first.seal("x", b"1").expect("sealed");
    second.add(&first.keys()).expect("taken");
    second.add(&first.keys()).expect("nothing new");
    assert_eq!(second.unseal("x", &sealed).expect("opened"), b"1");
    assert_eq!(second.keys().len(), 2);
}

#[test]
fn an_older_key_of_another_node_does_not_become_the_newest() {
    let ((_first_dir, first), (_second_dir, second)) = (keyring(), keyring());
    let old = first.make().expect("a key");
    let new = first.make().expect("another key");
    second.add(&first.keys()[1..]).expect("taken");
    second.add(&first.keys()).expect("taken");
    let numbers: Vec<u32> = second.keys().iter().map(|key| key.number).collect();
    assert_eq!(numbers, [old, new]);
    let newer = first.make().expect("a third one");
    second.add(&first.keys()).expect("taken");
    assert_eq!(second.seal("x", b"1").expect("sealed").by, newer);
}

#[test]
fn a_file_that_others_may_read_or_that_is_damaged_is_refused() {
    let (dir, keyring) = keyring();
    keyring.make().expect("a key");
    let path = dir.path().join(FILE);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("changed");
    assert!(matches!(Keyring::open(dir.path()), Err(KeyringError::Open { .. })));
    for text in ["x", "00000000 00", "00000001 zz", "\n"] {
        write_private(dir.path(), FILE, text.as_bytes()).expect("written");
        assert!(matches!(Keyring::open(dir.path()), Err(KeyringError::Foreign { .. })), "{text}");
    }
}

#[test]
fn no_more_keys_are_taken_than_are_read_again() {
    let (dir, keyring) = keyring();
    for _ in 0..MAX_KEYS {
        keyring.make().expect("a key");
    }
    assert!(matches!(keyring.make(), Err(KeyringError::Full)));
    assert_eq!(Keyring::open(dir.path()).expect("opened").keys().len(), MAX_KEYS);
}
