//! Defaults, precedence, and that all mistakes are told at once.

use std::io::Write;
use std::num::NonZeroU64;

use super::super::source::{self, Flags};
use super::*;
use clap::Parser;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    flags: Flags,
}

fn load(args: &[&str], env: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let flags = Line::parse_from(std::iter::once(&"shoal").chain(args)).flags;
    let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let mut mistakes = Vec::new();
    let config = resolve(&source::join(&flags, env, &mut mistakes), &mut mistakes);
    match config {
        Some(config) if mistakes.is_empty() => Ok(config),
        _ => Err(mistakes),
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

#[test]
fn nothing_needs_to_be_configured() {
    let config = load(&[], &[]).expect("accepted");
    assert_eq!(config.listen.to_string(), "127.0.0.1:5000");
    assert_eq!(config.data_dir, PathBuf::from("./shoal-data"));
    assert_eq!(config.region.as_str(), "local");
    assert!(!config.anonymous_pull && config.tls.is_none() && config.root_password.is_none());
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let file = file("region = \"file\"\nzone = \"file\"\nlisten = \"127.0.0.1:1\"\nanonymous_pull = true\n");
    let path = file.path().to_str().expect("a path");
    let config = load(
        &["--config", path, "--region", "flag"],
        &[("SHOAL_REGION", "env"), ("SHOAL_ZONE", "env"), ("SHOAL_SERVICE_HOST", "ignored")],
    )
    .expect("accepted");
    assert_eq!((config.region.as_str(), config.zone.as_str()), ("flag", "env"));
    assert_eq!(config.listen.port(), 1);
    assert!(config.anonymous_pull);
}

#[test]
fn every_mistake_is_told_at_once() {
    let file = file("colour = \"red\"\nzone = 7\nlog_format = \"xml\"\n");
    let password = self::file("short\n");
    let mistakes = load(
        &[
            "--config",
            file.path().to_str().expect("a path"),
            "--listen=nowhere",
            "--region=UPPER",
            "--tls-cert=/does/not/exist",
            "--root-password-file",
            password.path().to_str().expect("a path"),
            "--anonymous-pull=maybe",
        ],
        &[],
    )
    .expect_err("refused");
    for part in [
        "colour: there",
        "zone: a text",
        "log_format = ",
        "--listen",
        "--region",
        "--tls-key",
        "password must",
        "--anonymous-pull",
    ] {
        assert_eq!(mistakes.iter().filter(|m| m.contains(part)).count(), 1, "{part} in {mistakes:#?}");
    }
    assert_eq!(mistakes.len(), 8, "{mistakes:#?}");
}

#[test]
fn plain_http_on_an_open_address_must_be_asked_for() {
    let mistakes = load(&["--listen", "0.0.0.0:5000"], &[]).expect_err("refused");
    assert!(mistakes[0].contains("--insecure-http"), "{mistakes:?}");
    assert!(load(&["--listen", "0.0.0.0:5000", "--insecure-http"], &[]).is_ok());
    assert!(load(&["--listen", "[::1]:5000"], &[]).is_ok());
}

#[test]
fn a_public_url_is_taken_from_each_source_or_refused_by_name() {
    let file = file("public_url = \"https://registry.example/\"\n");
    let path = file.path().to_str().expect("a path");
    let url = |config: Config| config.hosts.public_url.map(|url| url.to_string());
    let taken = url(load(&["--config", path], &[]).expect("accepted"));
    assert_eq!(taken.as_deref(), Some("https://registry.example"));
    let taken = url(load(&[], &[("SHOAL_PUBLIC_URL", "http://a:1")]).expect("accepted"));
    assert_eq!(taken.as_deref(), Some("http://a:1"));
    assert_eq!(url(load(&[], &[]).expect("accepted")), None);
    for text in ["", "a", "https://a/v2", "https://user@a", "ftp://a"] {
        let mistakes = load(&["--public-url", text], &[]).expect_err("refused");
        assert!(mistakes.len() == 1 && mistakes[0].contains("--public-url"), "{text}: {mistakes:?}");
    }
}

#[test]
fn broken_files_are_named() {
    for text in ["= 1", "region = \"a\"\nregion = \"b\"\n", "[region"] {
        let file = file(text);
        let path = file.path().to_str().expect("a path");
        let mistakes = load(&["--config", path], &[]).expect_err("refused");
        assert!(mistakes[0].contains(path), "{mistakes:?}");
    }
    let mistakes = load(&["--config", "/does/not/exist"], &[]).expect_err("refused");
    assert!(mistakes[0].contains("/does/not/exist"));
}

#[test]
fn sizes_have_units_and_nonsense_is_refused() {
    let rate = |text: &str| load(&[], &[("SHOAL_SCRUB_RATE", text)]).map(|config| config.scrub_rate);
    assert_eq!(load(&[], &[]).expect("accepted").scrub_rate, 16 << 20);
    assert_eq!(["0", "512", "4KiB", "2GiB"].map(|text| rate(text).ok()), [0, 512, 4096, 2 << 30].map(Some));
    let audit = |text: &str| load(&[], &[("SHOAL_AUDIT_SIZE", text)]).map(|config| config.audit_size);
    assert_eq!(load(&[], &[]).expect("accepted").audit_size, 256 << 20);
    assert_eq!(audit("1MiB").expect("accepted"), 1 << 20);
    assert!(audit("1KiB").is_err() && audit("none").is_err());
    let cache = |text: &str| load(&[], &[("SHOAL_CACHE_SIZE", text)]).map(|config| config.cache_size);
    assert_eq!(load(&[], &[]).expect("accepted").cache_size, None);
    assert_eq!(["0", "10GiB"].map(|text| cache(text).ok()), [0, 10 << 30].map(|size| Some(Some(size))));
    for text in ["", "fast", "1MB", "-1", "1.5MiB", "99999999999TiB", "MiB"] {
        assert_eq!(rate(text).expect_err("refused").len(), 1, "{text}");
        assert_eq!(cache(text).expect_err("refused").len(), 1, "{text}");
    }
}

#[test]
fn what_other_nodes_get_has_a_rate_and_slots_for_each_class_of_links() {
    let limits = |args: &[&str], env: &[(&str, &str)]| load(args, env).map(|config| config.exchange);
    let defaults = limits(&[], &[]).expect("accepted");
    assert_eq!((defaults.rates, defaults.answers), ([None; 3], [8, 8, 16]));
    let file = file("region_rate = \"1MiB\"\nwide_area_rate = \"2MiB\"\nwide_area_slots = \"3\"\n");
    let path = file.path().to_str().expect("a path");
    let given = limits(
        &["--config", path, "--wide-area-rate", "unlimited", "--site-slots", "1024"],
        &[("SHOAL_SITE_RATE", "64KiB"), ("SHOAL_REGION_SLOTS", "1")],
    );
    let given = given.expect("accepted");
    assert_eq!(given.rates.map(|rate| rate.map(NonZeroU64::get)), [Some(64 << 10), Some(1 << 20), None]);
    assert_eq!(given.answers, [1024, 1, 3]);
    let mistakes = limits(
        &["--site-rate=0", "--region-rate=65535", "--wide-area-rate=fast", "--site-slots=0"],
        &[("SHOAL_REGION_SLOTS", "1025"), ("SHOAL_WIDE_AREA_SLOTS", "many")],
    );
    assert_eq!(mistakes.expect_err("refused").len(), 6, "all are told at once");
}
