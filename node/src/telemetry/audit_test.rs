//! The log on a real disk.

use super::*;

fn entry(number: u64) -> Entry {
    Entry {
        time_ms: now_ms(),
        principal: format!("user {number}"),
        source: "127.0.0.1".to_owned(),
        action: "ecr:PutImage".to_owned(),
        resource: "*".to_owned(),
        tag: None,
        detail: None,
        is_allowed: number.is_multiple_of(2),
        reason: "x".repeat(200),
        request_id: String::new(),
    }
}

fn all(audit: &Audit, since_ms: u64) -> Vec<Entry> {
    let (mut entries, mut next) = (Vec::new(), None::<String>);
    for _ in 0..10_000 {
        let page = audit.read(since_ms, next.as_deref()).expect("readable");
        entries.extend(page.entries);
        next = Some(page.next);
        if !page.more {
            return entries;
        }
    }
    panic!("pages without end");
}

/// Waits for the writer.
fn written(audit: &Audit, count: u64) {
    while audit.counts().0 < count {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_is_noted_is_read_in_order_and_goes_on_after_a_torn_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let open = || Audit::open(directory.path().join("audit"), 64 << 20).expect("opened");
    let audit = open();
    (0..2500).for_each(|number| audit.note(&entry(number)));
    drop(audit);
    let newest = files(&directory.path().join("audit")).expect("files")[0];
    let path = path(&directory.path().join("audit"), newest);
    OpenOptions::new()
        .append(true)
        .open(&path)
        .expect("a file")
        .write_all(b"{\"time_ms\":1")
        .expect("written");
    let audit = open();
    assert_eq!(all(&audit, 0).len(), 2500, "the torn line is none");
    audit.note(&entry(2500));
    written(&audit, 1);
    let read = all(&audit, 0);
    assert_eq!(read.len(), 2501);
    assert!(read.iter().enumerate().all(|(number, entry)| entry.principal == format!("user {number}")));
    assert_eq!(all(&audit, now_ms() + 1000).len(), 0, "since then");
}

#[test]
fn the_log_is_bounded_and_a_place_in_it_stays_good() {
    let directory = tempfile::tempdir().expect("a directory");
    let audit = Audit::open(directory.path().to_owned(), 0).expect("opened");
    let first = audit.read(0, None).expect("readable");
    (0..2000).for_each(|number| audit.note(&entry(number)));
    written(&audit, 2000);
    let place = audit.read(0, Some(&first.next)).expect("readable");
    assert_eq!(place.entries.len(), 1000, "a page");
    for number in 2000..12_000 {
        audit.note(&entry(number));
        written(&audit, number + 1);
    }
    let names = files(directory.path()).expect("files");
    assert_eq!(names.len() as u64, FILES);
    let sizes = names.iter().map(|name| fs::metadata(path(directory.path(), *name)).expect("a file").len());
    assert!(sizes.sum::<u64>() < (FILES + 1) * LEAST_FILE);
    let read = all(&audit, 0);
    assert_eq!(read.last().map(|entry| entry.principal.clone()), Some("user 11999".to_owned()));
    // Its file is gone: it goes on with the oldest that is there.
    let next = audit.read(0, Some(&place.next)).expect("readable");
    assert_eq!(next.entries.first(), read.first());
    assert!(audit.read(0, Some("x")).is_err() && audit.read(0, Some("1.2.3")).is_err());
    assert_eq!(audit.counts().1, 0);
}

#[test]
fn lines_that_are_too_long_are_cut_or_passed_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let audit = Audit::open(directory.path().to_owned(), 64 << 20).expect("opened");
    audit.note(&Entry { reason: "\u{7f}".repeat(100_000), ..entry(0) });
    written(&audit, 1);
    assert_eq!(all(&audit, 0)[0].reason.chars().count(), MAX_REASON);
    let newest = files(directory.path()).expect("files")[0];
    let mut file = OpenOptions::new().append(true).open(path(directory.path(), newest)).expect("a file");
    file.write_all(&[b'x'; 200_000]).and_then(|()| file.write_all(b"\n")).expect("written");
    audit.note(&entry(1));
    written(&audit, 2);
    assert_eq!(all(&audit, 0).len(), 2, "what comes behind is read");
}

#[test]
fn what_cannot_be_written_is_counted() {
    let directory = tempfile::tempdir().expect("a directory");
    let audit = Audit::open(directory.path().to_owned(), 0).expect("opened");
    let file = File::open("/dev/null").expect("a file that takes nothing");
    let counts = Counts::default();
    let mut log = Log {
        directory: directory.path().to_owned(),
        file,
        length: 0,
        full: LEAST_FILE,
        is_synced: true,
        is_failing: false,
    };
    log.take("{}", &counts);
    assert_eq!((counts.written.into_inner(), counts.lost.into_inner()), (0, 1));
    assert_eq!(audit.counts(), (0, 0));
}
