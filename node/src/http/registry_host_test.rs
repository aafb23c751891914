use super::*;

fn id(account: &str, region: &str) -> RegistryId {
    registry(account, region).expect("a registry")
}

fn hosts(public_url: &str, template: &str) -> Hosts {
    Hosts { public_url: public_url.parse().ok(), template: template.parse().ok() }
}

fn came(host: &str) -> Came<'_> {
    Came { host, tls: false }
}

#[test]
fn hosts_of_ecrs_shape_name_their_registry_whatever_follows() {
    let hosts = Hosts::default();
    let named = Some(id("111122223333", "eu-west-1"));
    for host in [
        "111122223333.dkr.ecr.eu-west-1.amazonaws.com",
        "111122223333.dkr.ecr.eu-west-1.amazonaws.com:5000",
        "111122223333.dkr-ecr.eu-west-1.on.aws",
        "111122223333.dkr.ecr-fips.eu-west-1.amazonaws.com",
        "111122223333.dkr-ecr-fips.eu-west-1.on.aws",
        "111122223333.DKR.ECR.EU-WEST-1.example",
        "111122223333.dkr.ecr.eu-west-1.localhost:5000",
        "111122223333.dkr.ecr.eu-west-1.127.0.0.1:5000",
    ] {
        assert_eq!(hosts.registry(host), named, "{host}");
    }
    for host in [
        "",
        "localhost:5000",
        "[::1]:5000",
        "111122223333",
        "111122223333.dkr.ecr.eu-west-1",
        "111122223333.dkr.ecr.eu-west-1.",
        "111122223333.dkr.ecr..example",
        "111122223333.dkr.ecr.-a.example",
        "11112222333x.dkr.ecr.eu-west-1.example",
        "1111222233334.dkr.ecr.eu-west-1.example",
        "x.111122223333.dkr.ecr.eu-west-1.example",
        "111122223333.ecr.eu-west-1.example",
        "111122223333édkr.ecr.eu-west-1.example",
    ] {
        assert_eq!(hosts.registry(host), None, "{host}");
    }
}

#[test]
fn a_template_gives_names_and_knows_them_again() {
    for text in ["{account}.images.{region}.example", "r-{account}.x.{region}.example:5000"] {
        let hosts = hosts("", text);
        let registry = id("111122223333", "store-17");
        let url = hosts.url_of(&registry, &id("000000000000", "local"), came("127.0.0.1:5000"));
        let host = url.strip_prefix("http://").expect("plain");
        assert_eq!(hosts.registry(host), Some(registry.clone()), "{host}");
        assert_eq!(hosts.registry(without_port(host)), Some(registry), "{host}");
    }
    for text in [
        "",
        "example",
        "{account}.example",
        "{region}.{account}.example",
        "{account}{region}.example",
        "{account}.{region}",
        "{account}.{region}.Example",
        "{account}.a.{region}.ex ample",
        "{account}.a.{region}.example/x",
        "{account}.a.{region}.{region}.example",
    ] {
        assert_eq!(text.parse::<HostTemplate>(), Err(NoHostTemplate), "{text}");
    }
}

#[test]
fn a_registry_is_reached_by_its_name_and_the_default_one_by_any_other() {
    let (default, other) = (id("000000000000", "local"), id("111122223333", "eu-west-1"));
    let url = |hosts: &Hosts, registry: &RegistryId, host: &str| hosts.url_of(registry, &default, came(host));
    let plain = Hosts::default();
    assert_eq!(url(&plain, &default, "localhost:5000"), "http://localhost:5000");
    assert_eq!(
        url(&plain, &other, "localhost:5000"),
        "http://111122223333.dkr.ecr.eu-west-1.localhost:5000",
        "the default registry's host means other images"
    );
    let named = "111122223333.dkr.ecr.eu-west-1.localhost:5000";
    assert_eq!(url(&plain, &other, named), format!("http://{named}"));
    assert_eq!(url(&plain, &default, named), "http://localhost:5000");
    let public = hosts("https://registry.example", "");
    assert_eq!(url(&public, &default, "10.0.0.1:5000"), "https://registry.example");
    assert_eq!(
        url(&public, &other, "10.0.0.1:5000"),
        "https://111122223333.dkr.ecr.eu-west-1.registry.example"
    );
    assert_eq!(public.url(came(named)), format!("https://{named}"), "the host stays (A10)");
    assert_eq!(public.url(came("10.0.0.1:5000")), "https://registry.example");
    let shaped = hosts("https://registry.example", "{account}.dkr.ecr.{region}.amazonaws.com");
    assert_eq!(
        url(&shaped, &default, "10.0.0.1:5000"),
        "https://000000000000.dkr.ecr.local.amazonaws.com",
        "as amazon-ecr-credential-helper wants it"
    );
}
