//! Reads the `use` lines inside `node`: modules may only use what stands below them (style: arrows point up).

#![expect(clippy::expect_used, reason = "a source that cannot be read fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

/// Module of `node`, and the modules of `node` that it may name.
const MAY_USE: [(&str, &[&str]); 10] = [
    ("telemetry", &[]),
    ("config", &["auth", "http", "registry", "telemetry"]),
    ("data_dir", &[]),
    ("http", &["telemetry"]),
    ("auth", &["data_dir", "telemetry"]),
    ("adapters", &["auth", "http"]),
    ("registry", &["adapters"]),
    ("jobs", &["adapters", "registry", "telemetry"]),
    ("api", &["adapters", "auth", "http", "jobs", "registry", "telemetry"]),
    (
        "app",
        &["adapters", "api", "app", "auth", "config", "data_dir", "http", "jobs", "registry", "telemetry"],
    ),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn modules_of_the_node_use_only_what_is_below_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 20, "the node's sources are not where they are expected");
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&root).expect("below the root");
        let module = inside.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
        let module = module.trim_end_matches(".rs");
        if module == "main" {
            continue;
        }
        let (_, allowed) = MAY_USE.iter().find(|(name, _)| *name == module).unwrap_or_else(|| {
            panic!("{module} is not in the table: say what it may use");
        });
        let text = fs::read_to_string(&file).expect("a readable file");
        for used in text.split("crate::").skip(1) {
            let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if used != module && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{} uses crate::{used}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_engine_of_the_metadata_is_named_in_one_module() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster/src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let is_engine =
        |file: &Path| file.with_extension("").components().any(|part| part.as_os_str() == "engine");
    let (engine, others): (Vec<_>, Vec<_>) = files
        .into_iter()
        .filter(|file| {
            let text = fs::read_to_string(file).expect("a readable file");
            text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains("redb::"))
        })
        .partition(|file| is_engine(file));
    assert!(!engine.is_empty() && others.is_empty(), "{others:?}");
}

/// Packages of the whole tree, as Cargo sees them.
fn packages() -> Vec<serde_json::Value> {
    let metadata = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).expect("JSON");
    metadata["packages"].as_array().expect("a list").clone()
}

/// Whether an SPDX expression can be met with the licences of `allowed`; brackets only ever group
/// alternatives in the expressions that are in use.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let plain = expression.replace(['(', ')'], " ").replace('/', " OR ");
    let all = |part: &str| part.split(" AND ").all(|licence| allowed.contains(&licence.trim()));
    plain.split(" OR ").any(all)
}

#[test]
fn every_dependency_has_a_licence_of_the_list_and_comes_from_the_registry() {
    let deny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deny.toml");
    let deny: toml::Table = fs::read_to_string(deny).expect("readable").parse().expect("TOML");
    let allowed = deny["licenses"]["allow"].as_array().expect("a list");
    let allowed: Vec<&str> = allowed.iter().filter_map(toml::Value::as_str).collect();
    let mut wrong = Vec::new();
    for package in packages() {
        let name = package["name"].as_str().expect("a name");
        let licence = package["license"].as_str().unwrap_or_default();
        let source = package["source"].as_str();
        if !is_allowed(licence, &allowed) || source.is_some_and(|source| !source.starts_with("registry+")) {
            wrong.push(format!("{name}: {licence:?} from {source:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
