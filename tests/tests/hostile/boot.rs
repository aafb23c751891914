//! Starting with bad settings: section 12 of `specs/hostile-inputs.md`, XA5 to XA7.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tests::process::{Finished, finish};
use tests::server::binary;
use tests::tls::make_certificates;

/// One second in the specification; a machine busy with other tests takes longer.
const SOON: Duration = Duration::from_secs(10);

/// A directory with a good password file.
fn place() -> TempDir {
    let place = TempDir::with_prefix("shoal-boot-").expect("a directory");
    write(place.path(), "password", "a good password\n");
    place
}

fn write(place: &Path, name: &str, text: &str) {
    fs::write(place.join(name), text).expect("a file");
    fs::set_permissions(place.join(name), Permissions::from_mode(0o600)).expect("permissions");
}

/// Runs `shoal serve` with `arguments` where `{}` is the place; it must end by itself.
fn serve(place: &TempDir, arguments: &str) -> Finished {
    let at = place.path().display().to_string();
    let mut command = Command::new(binary());
    command
        .arg("serve")
        .args(arguments.split_whitespace().map(|word| word.replace("{}", &at)))
        .current_dir(place.path());
    finish(&mut command, b"", SOON).expect("it ends")
}

/// Checks for a refusal that says `texts` and did not touch `{}/data`.
fn assert_refused(place: &TempDir, arguments: &str, texts: &[&str]) {
    let began = Instant::now();
    let finished = serve(place, arguments).assert_failure();
    assert!(began.elapsed() < SOON);
    let said = finished.said();
    for text in texts {
        assert!(said.contains(text), "{arguments}: {text} is not in:\n{said}");
    }
    assert!(!said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "{said}");
    assert!(!said.contains("listening on"), "{said}");
    assert!(!place.path().join("data").exists(), "{arguments}: something was written");
}

const GOOD: &str = "--data-dir {}/data --listen 127.0.0.1:0 --root-password-file {}/password";

#[test]
fn bad_settings_are_told_all_at_once() {
    // XA5
    let place = place();
    let arguments = "--data-dir {}/data --listen 127.0.0.1:70000 --region NOT_A_REGION --zone ? --log-format xml --anonymous-pull=maybe --root-password-file {}/none";
    assert_refused(
        &place,
        arguments,
        &["listen", "70000", "region", "zone", "log-format", "anonymous-pull", "root-password-file"],
    );
}

#[test]
fn bad_configuration_files_are_refused_with_file_and_place() {
    // XA5
    let place = place();
    for (text, says) in [
        ("listen = \"127.0.0.1:0\"\nlisten = \"127.0.0.1:0\"\n", "duplicate"),
        ("lisen = \"127.0.0.1:0\"\n", "lisen"),
        ("listen = 70000\n", "listen"),
        ("listen = \n", "config.toml"),
        ("[a\n", "config.toml"),
        ("region = nan\n", "region"),
        ("region = \"${UNSET}\"\n", "region"),
        ("include = \"config.toml\"\n", "include"),
        ("config = \"config.toml\"\n", "config"),
        ("listen = [\"127.0.0.1:0\"]\n", "listen"),
        ("\u{0}", "config.toml"),
    ] {
        write(place.path(), "config.toml", text);
        assert_refused(
            &place,
            "--config {}/config.toml --data-dir {}/data --root-password-file {}/password",
            &["config.toml", says],
        );
    }
    fs::write(place.path().join("config.toml"), [0xff, 0xfe, 0]).expect("a file");
    assert_refused(&place, "--config {}/config.toml --data-dir {}/data", &["config.toml"]);
    let deep = format!("listen = {}", "[".repeat(100_000));
    write(place.path(), "config.toml", &deep);
    assert_refused(&place, "--config {}/config.toml --data-dir {}/data", &["config.toml"]);
    assert_refused(&place, "--config {}/none.toml --data-dir {}/data", &["none.toml"]);
    assert_refused(&place, "--config {} --data-dir {}/data", &["cannot be read"]);
}

#[test]
fn a_configuration_of_ten_gigabytes_is_not_read() {
    // XA5: sparse, so that only the reader would pay
    let place = place();
    let file = fs::File::create(place.path().join("config.toml")).expect("a file");
    file.set_len(10 << 30).expect("a length");
    assert_refused(&place, "--config {}/config.toml --data-dir {}/data", &["config.toml", "larger"]);
}

#[test]
fn unknown_flags_are_refused() {
    let place = place();
    assert_refused(&place, &format!("{GOOD} --no-such-flag"), &["--no-such-flag"]);
    assert_refused(&place, &format!("{GOOD} extra"), &["extra"]);
}

#[test]
fn weak_passwords_are_refused() {
    // XA6, S18
    let place = place();
    for text in [
        "",
        "\n",
        "x",
        "1234567",
        "\r\n",
        "with\ttab and \u{1}",
        "a\nb\nc of several lines",
        "nul\0in the middle",
    ] {
        write(place.path(), "weak", text);
        assert_refused(
            &place,
            "--data-dir {}/data --listen 127.0.0.1:0 --root-password-file {}/weak",
            &["weak"],
        );
    }
    write(place.path(), "weak", &"x".repeat(1 << 20));
    assert_refused(&place, "--data-dir {}/data --listen 127.0.0.1:0 --root-password-file {}/weak", &["weak"]);
    fs::write(place.path().join("weak"), [0xff; 20]).expect("a file");
    assert_refused(&place, "--data-dir {}/data --listen 127.0.0.1:0 --root-password-file {}/weak", &["weak"]);
    assert_refused(
        &place,
        "--data-dir {}/data --listen 127.0.0.1:0 --root-password-file {}",
        &["cannot be read"],
    );
}

#[test]
fn plain_http_stays_on_loopback() {
    // XA6
    let place = place();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let arguments = format!("--data-dir {{}}/data --listen {address} --root-password-file {{}}/password");
        assert_refused(&place, &arguments, &["plain HTTP", "--tls-cert", "--insecure-http"]);
    }
}

#[test]
fn certificates_that_do_not_fit_are_refused() {
    let place = place();
    make_certificates(place.path());
    let other = TempDir::new().expect("a directory");
    make_certificates(other.path());
    fs::copy(other.path().join("key.pem"), place.path().join("other.pem")).expect("a copy");
    write(place.path(), "empty.pem", "");
    write(place.path(), "noise.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (cert, key) in [
        ("cert", "other"),
        ("empty", "key"),
        ("cert", "empty"),
        ("noise", "key"),
        ("key", "cert"),
        ("none", "key"),
        ("cert", "none"),
    ] {
        assert_refused(
            &place,
            &format!("{GOOD} --tls-cert {{}}/{cert}.pem --tls-key {{}}/{key}.pem"),
            &[".pem"],
        );
    }
    assert_refused(&place, &format!("{GOOD} --tls-cert {{}}/cert.pem"), &["--tls-key"]);
    assert_refused(&place, &format!("{GOOD} --tls-key {{}}/key.pem"), &["--tls-cert"]);
}

#[test]
fn data_directories_of_others_are_refused_untouched() {
    // XA7
    let place = place();
    let at = |name: &str| place.path().join(name);
    fs::create_dir(at("foreign")).expect("a directory");
    write(&at("foreign"), "letter.txt", "dear");
    fs::create_dir(at("newer")).expect("a directory");
    write(&at("newer"), "FORMAT", "shoal-data 999\n");
    write(place.path(), "file", "not a directory");
    fs::create_dir(at("nowhere")).expect("a directory");
    symlink(at("gone"), at("dangling")).expect("a link");
    for (name, says) in [
        ("foreign", "not a Shoal data directory"),
        ("newer", "version"),
        ("file", "data directory"),
        ("dangling", "data directory"),
    ] {
        let arguments =
            format!("--data-dir {{}}/{name} --listen 127.0.0.1:0 --root-password-file {{}}/password");
        assert_refused(&place, &arguments, &[says]);
    }
    assert_eq!(fs::read_dir(at("foreign")).expect("a listing").count(), 1, "something was written");
    assert_eq!(fs::read_dir(at("newer")).expect("a listing").count(), 1, "something was written");
    assert_refused(
        &place,
        "--data-dir / --listen 127.0.0.1:0 --root-password-file {}/password",
        &["not a Shoal data directory"],
    );
    assert_refused(
        &place,
        "--data-dir /proc --listen 127.0.0.1:0 --root-password-file {}/password",
        &["/proc"],
    );
    assert!(!Path::new("/node.key").exists() && !Path::new("/FORMAT").exists());
}

#[test]
fn a_data_directory_in_use_is_refused() {
    // XA7, XC22 on one machine
    let server = crate::own_server();
    let place = place();
    let arguments = format!(
        "--data-dir {} --listen 127.0.0.1:0 --root-password-file {{}}/password",
        server.data_dir().display()
    );
    assert_refused(&place, &arguments, &["in use", &server.pid().to_string()]);
    server.root().assert_serves();
}

#[test]
fn a_port_in_use_is_told() {
    let server = crate::own_server();
    let place = place();
    let arguments =
        format!("--data-dir {{}}/other --listen {} --root-password-file {{}}/password", server.host());
    let said = serve(&place, &arguments).assert_failure().said();
    assert!(said.contains(server.host()), "{said}");
}

#[test]
fn what_is_secret_is_readable_for_the_owner_only() {
    // XA7: made so, whatever the umask; and a key that others can read is refused or told
    let mut server = crate::own_server();
    for name in ["", "node.key"] {
        let mode = fs::metadata(server.data_dir().join(name)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
    server.stop();
    fs::set_permissions(server.data_dir().join("node.key"), Permissions::from_mode(0o644))
        .expect("permissions");
    let place = place();
    let at = server.data_dir().display().to_string();
    let mut command = Command::new(binary());
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir", &at]).current_dir(place.path());
    let outcome = finish(&mut command, b"", Duration::from_secs(3));
    let said = match outcome {
        Ok(finished) => finished.assert_failure().said(),
        Err(still_running) => still_running.to_string(),
    };
    assert!(said.contains("node.key"), "neither refused nor told: {said}");
}

#[test]
fn damaged_keys_and_formats_are_refused_without_a_panic() {
    // XA7
    let mut server = crate::own_server();
    server.stop();
    let place = place();
    let key = server.data_dir().join("node.key");
    let good = fs::read(&key).expect("a key");
    for bytes in [Vec::new(), good[..good.len() / 2].to_vec(), vec![0; good.len()], vec![b'x'; 1 << 20]] {
        fs::write(&key, bytes).expect("written");
        let mut command = Command::new(binary());
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(server.data_dir())
            .args(["--listen", "127.0.0.1:0"])
            .current_dir(place.path());
        let said = finish(&mut command, b"", SOON).expect("it ends").assert_failure().said();
        assert!(said.contains("node.key") && !said.contains("panicked"), "{said}");
    }
    fs::write(&key, good).expect("written");
    server.restart();
    server.root().assert_serves();
}
