//! The segments over real files: crashes, damage, rotation, removal.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;

const HEAD: &[u8] = b"head";

fn created() -> (TempDir, PathBuf) {
    let place = TempDir::new().unwrap();
    let dir = place.path().join("log");
    Segments::create(&dir, HEAD).unwrap();
    (place, dir)
}

/// Opens `dir`; the payloads in it.
fn opened(dir: &Path) -> Result<(Segments, Vec<Vec<u8>>), StorageError> {
    let mut payloads = Vec::new();
    let segments = Segments::open(dir, &mut |_, _, payload| {
        payloads.push(payload.to_vec());
        Ok(())
    })?;
    Ok((segments, payloads))
}

fn file(dir: &Path) -> PathBuf {
    path(dir, 1)
}

/// A segment without the room behind its records.
fn records(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    bytes
}

#[test]
fn what_was_appended_is_there_again_and_can_be_read_by_place() {
    let (_place, dir) = created();
    let (segments, payloads) = opened(&dir).unwrap();
    assert_eq!(payloads, [HEAD]);
    let appended = segments.append(&[b"one".to_vec(), b"two".to_vec()]).unwrap();
    assert_eq!(segments.read(appended.places[1], 3).unwrap(), b"two");
    assert!(segments.sync().unwrap() >= appended.end);
    drop(segments);
    assert_eq!(opened(&dir).unwrap().1, [HEAD, b"one", b"two"]);
}

#[test]
fn what_a_crash_tore_is_cut_off_and_never_comes_back() {
    let (_place, dir) = created();
    let (segments, _) = opened(&dir).unwrap();
    segments.append(&[b"synced".to_vec()]).unwrap();
    segments.sync().unwrap();
    let mark = fs::read(dir.join(SYNCED)).unwrap();
    // Of two records that were being synced the crash left the second whole and tore the first.
    let torn = segments.append(&[b"torn".to_vec()]).unwrap().places[0];
    segments.append(&[b"whole".to_vec()]).unwrap();
    segments.sync().unwrap();
    drop(segments);
    fs::write(dir.join(SYNCED), mark).unwrap();
    let mut bytes = fs::read(file(&dir)).unwrap();
    bytes[torn.offset as usize + 5] ^= 1;
    fs::write(file(&dir), bytes).unwrap();

    let (segments, payloads) = opened(&dir).unwrap();
    assert_eq!(payloads, [HEAD, b"synced"]);
    // As long as the torn one was: "whole" would follow it exactly.
    segments.append(&[b"next".to_vec()]).unwrap();
    segments.sync().unwrap();
    drop(segments);
    assert_eq!(opened(&dir).unwrap().1, [HEAD, b"synced", b"next"]);
}

#[test]
fn damage_to_what_was_synced_is_refused_by_name_and_place() {
    let (_place, dir) = created();
    let (segments, _) = opened(&dir).unwrap();
    for payload in [b"one".to_vec(), b"two".to_vec()] {
        segments.append(&[payload]).unwrap();
        segments.sync().unwrap();
    }
    drop(segments);
    let good = records(&file(&dir));
    let mark = dir.join(SYNCED);
    // Even the last bytes, since the mark says that they were on disk.
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        fs::write(file(&dir), bytes).unwrap();
        match opened(&dir) {
            Err(StorageError::DamagedAt { path, offset }) => {
                assert_eq!(path, file(&dir));
                assert!(offset <= at as u64);
            }
            other => panic!("byte {at}: {:?}", other.map(|(_, payloads)| payloads)),
        }
    }
    for len in 0..good.len() {
        fs::write(file(&dir), &good[..len]).unwrap();
        assert!(matches!(opened(&dir), Err(StorageError::DamagedAt { .. })), "cut to {len}");
    }
    // Without a mark the frame behind tells, for all but the last.
    fs::remove_file(mark).unwrap();
    let last = good.len() - frame::size(3) as usize;
    for at in 0..last {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        fs::write(file(&dir), bytes).unwrap();
        let _ = fs::remove_file(dir.join(SYNCED));
        // The first of two frames that were synced one after the other: only the second one's word counts.
        assert!(matches!(opened(&dir), Err(StorageError::DamagedAt { .. })), "byte {at}");
    }
}

#[test]
fn room_behind_the_records_is_reserved_and_given_back() {
    let (_place, dir) = created();
    let (segments, _) = opened(&dir).unwrap();
    let len = || fs::metadata(file(&dir)).unwrap().len();
    for payload in [vec![7; 10], vec![7; RESERVED_BYTES as usize]] {
        segments.append(&[payload]).unwrap();
        segments.sync().unwrap();
        assert_eq!(len() % RESERVED_BYTES, 0);
    }
    drop(segments);
    let written = records(&file(&dir)).len() as u64;
    assert!(written < len());
    let (segments, payloads) = opened(&dir).unwrap();
    assert_eq!((payloads.len(), len()), (3, written));
    segments.append(&[b"next".to_vec()]).unwrap();
    segments.sync().unwrap();
    drop(segments);
    // Not even the room that a crash cut.
    fs::OpenOptions::new().write(true).open(file(&dir)).unwrap().set_len(written + 200).unwrap();
    assert_eq!(opened(&dir).unwrap().1.len(), 4);
}

#[test]
fn a_full_segment_is_followed_by_another_and_goes_when_nobody_needs_it() {
    let (_place, dir) = created();
    let (segments, _) = opened(&dir).unwrap();
    let place = segments.append(&[vec![7; SEGMENT_BYTES as usize]]).unwrap().places[0];
    assert_eq!(segments.read(place, SEGMENT_BYTES as usize).unwrap(), [7; SEGMENT_BYTES as usize]);
    assert!(segments.is_full());
    segments.rotate(HEAD).unwrap();
    assert_eq!(fs::metadata(file(&dir)).unwrap().len(), records(&file(&dir)).len() as u64);
    let place = segments.append(&[b"later".to_vec()]).unwrap().places[0];
    assert_eq!(place.segment, 2);
    segments.sync().unwrap();
    segments.remove_before(u64::MAX).unwrap();
    assert_eq!(segments.read(place, 5).unwrap(), b"later");
    drop(segments);
    assert_eq!(file::names(&dir).unwrap().len(), 2, "the last segment and the mark");
    assert_eq!(opened(&dir).unwrap().1, [HEAD, b"later"]);
}

#[test]
fn a_segment_without_a_head_never_held_anything_unless_the_mark_knows_it() {
    let (_place, dir) = created();
    let (segments, _) = opened(&dir).unwrap();
    segments.append(&[b"one".to_vec()]).unwrap();
    segments.sync().unwrap();
    drop(segments);
    // The room behind the records goes before the next segment comes.
    fs::write(file(&dir), records(&file(&dir))).unwrap();
    fs::write(path(&dir, 2), b"sLog").unwrap();
    let (segments, payloads) = opened(&dir).unwrap();
    assert_eq!(payloads, [HEAD, b"one"]);
    assert!(!path(&dir, 2).exists());
    segments.rotate(HEAD).unwrap();
    segments.append(&[b"two".to_vec()]).unwrap();
    segments.sync().unwrap();
    drop(segments);
    let second = fs::read(path(&dir, 2)).unwrap();
    fs::write(path(&dir, 2), b"").unwrap();
    assert!(matches!(opened(&dir), Err(StorageError::DamagedAt { .. })));
    fs::remove_file(path(&dir, 2)).unwrap();
    assert!(matches!(opened(&dir), Err(StorageError::Missing { .. })));
    fs::write(path(&dir, 2), second).unwrap();
    fs::remove_file(path(&dir, 1)).unwrap();
    // What was purged cannot be told from what is missing here; the entries tell.
    assert_eq!(opened(&dir).unwrap().1, [HEAD, b"two"]);
}
