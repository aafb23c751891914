//! E41: a node that cannot run says why and ends; it never starts weaker than asked.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::node::Place;
use crate::report;
use tests::volume::{Kind, Volume, run};

/// A refusal comes this soon; ten times the figure of the table.
const SOON: Duration = Duration::from_secs(10);

/// Checks that the node ends with `code` and that its message has all of `words`.
fn assert_refuses(row: &str, place: &Place, code: i32, words: &[&str]) {
    let refusal = match place.try_start() {
        Ok(node) => panic!("{row}: it started (pid {})", node.pid()),
        Err(refusal) => refusal,
    };
    let text = &refusal.text;
    assert_eq!(refusal.status.code(), Some(code), "{row}: {text}");
    for word in words {
        assert!(text.contains(word), "{row}: {word:?} is not named: {text}");
    }
    assert!(!text.contains("panicked"), "{row}: {text}");
    assert!(refusal.after < SOON, "{row}: only after {:?}", refusal.after);
    report("E41", &format!("{row}: exit {code} after {:?}", refusal.after));
}

fn with(arguments: &[&str]) -> Place {
    let mut place = Place::new();
    place.arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
    place
}

#[test]
fn mistakes_in_the_configuration_are_all_named() {
    let mut place = Place::new();
    let file = place.file("shoal.toml");
    place.arguments = vec!["--config".to_owned(), file.to_string_lossy().into_owned()];
    fs::write(&file, "zone = \"No Good\"\nlog_format = \"loud\"\nanonymous_pul = true\n").expect("written");
    assert_refuses("three mistakes in the file", &place, 2, &["zone", "log_format", "anonymous_pul"]);
    assert!(!place.data.exists(), "something was made before the configuration was known to be right");
    fs::write(&file, "zone = \n").expect("written");
    assert_refuses("not TOML", &place, 2, &["shoal.toml"]);
    assert_refuses(
        "no such file",
        &with(&["--config", "/nonexistent/shoal.toml"]),
        2,
        &["/nonexistent/shoal.toml"],
    );
    assert_refuses("a region that is none", &with(&["--region", "Über"]), 2, &["region"]);
    let mut place = Place::new();
    place.environment.push(("SHOAL_ANONYMOUS_PULL", "perhaps".to_owned()));
    assert_refuses("a bad variable", &place, 2, &["SHOAL_ANONYMOUS_PULL"]);
}

#[test]
fn a_short_or_missing_password_is_refused() {
    let place = Place::new();
    fs::write(place.file("password"), "short\n").expect("written");
    assert_refuses("short password", &place, 2, &["password", "8 to 1024"]);
    fs::remove_file(place.file("password")).expect("removed");
    assert_refuses("no password file", &place, 2, &["password"]);
}

#[test]
fn plain_http_on_the_network_is_refused() {
    let mut place = Place::new();
    place.host = place.host.replace("127.0.0.1", "0.0.0.0");
    assert_refuses("plain HTTP on all addresses", &place, 2, &["0.0.0.0", "--insecure-http"]);
}

#[test]
fn wrong_tls_files_are_refused() {
    let place = Place::new();
    let (cert, key, other) = (place.file("cert.pem"), place.file("key.pem"), place.file("other.pem"));
    for key in [&key, &other] {
        let mut openssl = Command::new("openssl");
        openssl.args(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
                .split(' '),
        );
        run(openssl.arg("-keyout").arg(key).arg("-out").arg(&cert));
    }
    let (cert_text, key_text, other_text) =
        (cert.to_string_lossy(), key.to_string_lossy(), other.to_string_lossy());
    let tls = |cert: &str, key: &str| with(&["--tls-cert", cert, "--tls-key", key]);
    // The certificate goes with the key made last.
    assert_refuses("key of another certificate", &tls(&cert_text, &key_text), 2, &["key.pem"]);
    assert_refuses("no certificate file", &tls("/nonexistent.pem", &other_text), 2, &["/nonexistent.pem"]);
    fs::write(&cert, "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n").expect("written");
    assert_refuses("no certificate in the file", &tls(&cert_text, &other_text), 2, &["cert.pem"]);
    assert_refuses("certificate without key", &with(&["--tls-cert", &cert_text]), 2, &["tls-key"]);
}

#[test]
fn a_data_directory_that_cannot_be_used_is_refused_and_left_alone() {
    let place = Place::new();
    fs::write(&place.data, "a file").expect("written");
    assert_refuses("a file as data directory", &place, 1, &[&place.data.to_string_lossy()]);

    let place = Place::new();
    fs::create_dir(&place.data).expect("made");
    fs::write(place.data.join("letter.txt"), "dear").expect("written");
    assert_refuses("a foreign directory", &place, 1, &[&place.data.to_string_lossy(), "--data-dir"]);
    assert_eq!(fs::read_dir(&place.data).expect("readable").count(), 1, "something was made in it");

    let volume = Volume::new(Kind::Ext4, 64);
    let place = Place::at(&volume.path().join("data"));
    volume.remount("ro");
    assert_refuses("a read-only volume", &place, 1, &[&volume.path().to_string_lossy()]);
    volume.remount("rw");
    place.start().stop();
    volume.remount("ro");
    assert_refuses("a volume that became read-only", &place, 1, &[&volume.path().to_string_lossy()]);
}

#[test]
fn newer_formats_are_refused_by_name() {
    for (file, newer) in [
        ("FORMAT", "shoal-data 2\n"),
        ("metadata/FORMAT", "shoal-metadata 3\n"),
        ("blobs/FORMAT", "shoal-blobs 2\n"),
    ] {
        let place = Place::new();
        place.start().stop();
        let path = place.data.join(file);
        let before = fs::read(&path).expect("a FORMAT file");
        fs::write(&path, newer).expect("written");
        let named = path.parent().expect("a folder").to_string_lossy().into_owned();
        assert_refuses(&format!("newer {file}"), &place, 1, &[&named]);
        fs::write(&path, before).expect("written");
        place.start().stop();
    }
}

#[test]
fn a_bad_or_lost_node_key_is_refused_by_name() {
    let place = Place::new();
    place.start().stop();
    let path = place.data.join("node.key");
    let key = fs::read(&path).expect("a key");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("changed");
    assert_refuses("a key that others may read", &place, 1, &["node.key", "chmod 600"]);
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("changed");
    fs::write(&path, b"no key").expect("written");
    assert_refuses("a key file that holds none", &place, 1, &["node.key"]);
    fs::remove_file(&path).expect("removed");
    assert_refuses("a lost key", &place, 1, &["node.key"]);
    let other = Place::new();
    other.start().stop();
    fs::copy(other.data.join("node.key"), &path).expect("copied");
    assert_refuses("another node's key", &place, 1, &["belongs to node"]);
    fs::write(&path, key).expect("written");
    place.start().stop();
}

#[test]
fn a_taken_port_and_a_taken_directory_are_refused() {
    let place = Place::new();
    // Taken, but not listening, so that nobody waits for its answers.
    let taken = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    taken.bind(&place.host.parse::<SocketAddr>().expect("an address").into()).expect("a port");
    assert_refuses("port taken", &place, 1, &[&place.host]);
    drop(taken);

    let node = place.start();
    let second = Place::at(&place.data);
    let named = place.data.to_string_lossy().into_owned();
    assert_refuses("a second process", &second, 1, &[&named, &format!("pid {}", node.pid())]);
    assert!(node.is_ready(), "the first one suffers from the second");
}

#[test]
fn a_clock_that_was_never_set_is_refused() {
    let mut place = Place::new();
    place.wrapper = vec!["faketime".to_owned(), "2019-01-01".to_owned()];
    assert_refuses("a clock before 2020", &place, 1, &["clock"]);
    assert!(!place.data.exists(), "something was written under a wrong time");
}
