//! helm: charts as artifacts, versions as tags.

use tests::sandbox::Sandbox;

use crate::{setup, stranger};

fn log_in(sandbox: &Sandbox) {
    let arguments =
        ["registry", "login", "--plain-http", "-u", sandbox.user(), "--password-stdin", sandbox.host()];
    sandbox.log_in("helm", &arguments).assert_success();
}

/// Packages a chart of this version and returns the file's name in the folder `work`.
fn package(sandbox: &Sandbox, version: &str) -> String {
    let folder = sandbox.path("work/greeter");
    std::fs::create_dir_all(folder.join("templates")).expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a file");
    write("Chart.yaml", &format!("apiVersion: v2\nname: greeter\nversion: {version}\n"));
    write("values.yaml", "greeting: hello\n");
    let template =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: greeter\ndata:\n  a: {{ .Values.greeting }}\n";
    write("templates/map.yaml", template);
    sandbox.run("helm", &["package", "greeter"]);
    format!("greeter-{version}.tgz")
}

#[test]
fn helm_pushes_a_chart_and_pulls_it_back_unchanged() {
    let (server, sandbox) = setup();
    log_in(&sandbox);
    let charts = format!("oci://{}", sandbox.at("charts"));
    let chart = format!("{charts}/greeter");
    // A plus sign is no part of a tag: helm writes an underscore.
    let file = package(&sandbox, "0.1.0+build.7");
    sandbox.run("helm", &["push", "--plain-http", &file, &charts]);
    let manifest = server.root().get("/v2/charts/greeter/manifests/0.1.0_build.7").send();
    assert_eq!(manifest.json()["config"]["mediaType"], "application/vnd.cncf.helm.config.v1+json");

    let back = sandbox.text("tmp");
    sandbox.run("helm", &["pull", "--plain-http", "-d", &back, &chart, "--version", "0.1.0+build.7"]);
    let read = |folder: &str| std::fs::read(sandbox.path(folder).join(&file)).expect("a chart");
    assert!(read("tmp") == read("work"), "the chart came back changed");
    let rendered = sandbox.run("helm", &["template", "--plain-http", &chart, "--version", "0.1.0+build.7"]);
    assert!(rendered.contains("a: hello"), "{rendered}");
}

#[test]
fn helm_finds_the_newest_version_among_the_tags_and_not_after_a_delete() {
    let (server, sandbox) = setup();
    log_in(&sandbox);
    let charts = format!("oci://{}", sandbox.at("charts"));
    let chart = format!("{charts}/greeter");
    for version in ["0.9.0", "0.10.0"] {
        let file = package(&sandbox, version);
        sandbox.run("helm", &["push", "--plain-http", &file, &charts]);
    }
    let newest = || sandbox.run("helm", &["show", "chart", "--plain-http", &chart, "--version", "<1"]);
    assert!(newest().contains("version: 0.10.0"), "{}", newest());
    server.root().delete("/v2/charts/greeter/manifests/0.10.0").send().assert_status(202);
    assert!(newest().contains("version: 0.9.0"), "{}", newest());
    for (name, version) in [("greeter", "0.10.0"), ("nothing", "1.0.0")] {
        let missing = format!("{charts}/{name}");
        let said = sandbox.refused("helm", &["pull", "--plain-http", &missing, "--version", version]);
        assert!(said.contains("not found"), "{said}");
    }
}

#[test]
fn helm_with_a_wrong_password_is_refused() {
    let (server, _) = setup();
    let stranger = stranger(&server);
    let arguments =
        ["registry", "login", "--plain-http", "-u", stranger.user(), "--password-stdin", stranger.host()];
    let said = stranger.log_in("helm", &arguments).assert_failure().said();
    assert!(said.contains("401") || said.contains("unauthorized"), "{said}");
    let chart = format!("oci://{}", stranger.at("charts/greeter"));
    stranger.refused("helm", &["pull", "--plain-http", &chart, "--version", "1.0.0"]);
}
