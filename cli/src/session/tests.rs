use std::collections::BTreeMap;

use super::*;

fn config() -> Config {
    let context = |server: &str, token: Option<&str>| Context {
        server: server.to_owned(),
        tenant: Some("acme".to_owned()),
        token: token.map(|token| Secret(token.to_owned())),
        ..Context::default()
    };
    Config {
        current: Some("a".to_owned()),
        contexts: BTreeMap::from([
            ("a".to_owned(), context("https://a.example/", Some("ta"))),
            ("b".to_owned(), context("https://b.example", None)),
        ]),
    }
}

fn settings(context: Option<&str>, env: &[(&str, &str)]) -> Result<Settings> {
    let wishes = Wishes { context: context.map(str::to_owned), ..Wishes::default() };
    let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Settings::of(&wishes, &config(), env)
}

#[test]
fn the_command_line_comes_before_the_environment_before_the_context() {
    let plain = settings(None, &[]).unwrap();
    assert_eq!((plain.server.as_str(), plain.tenant.as_deref()), ("https://a.example", Some("acme")));
    assert_eq!(plain.token, Token::Context(Secret("ta".to_owned())));
    let other = settings(None, &[("REMPART_CONTEXT", "b"), ("REMPART_TENANT", "t")]).unwrap();
    assert_eq!((other.context.as_deref(), other.tenant.as_deref()), (Some("b"), Some("t")));
    assert_eq!(settings(Some("a"), &[("REMPART_CONTEXT", "b")]).unwrap().context.as_deref(), Some("a"));
    assert_eq!(settings(None, &[("REMPART_TENANT", "")]).unwrap().tenant.as_deref(), Some("acme"));
    let missing = settings(Some("c"), &[]).unwrap_err().text;
    assert!(missing.contains("known: a, b"), "{missing}");
}

#[test]
fn a_token_goes_to_no_server_it_is_not_for() {
    let alone = settings(None, &[("REMPART_SERVER", "http://evil.example")]).unwrap();
    assert_eq!(alone.token, Token::Nowhere);
    assert_eq!(alone.tenant, None);
    assert!(settings(Some("a"), &[("REMPART_SERVER", "http://evil.example")]).is_err());
    let same = settings(Some("a"), &[("REMPART_SERVER", "https://a.example")]).unwrap();
    assert_eq!(same.token, Token::Context(Secret("ta".to_owned())));
    let own = settings(None, &[("REMPART_SERVER", "http://x:1"), ("REMPART_TOKEN", "tx")]).unwrap();
    assert_eq!(own.token, Token::Environment(Secret("tx".to_owned())));
}

#[test]
fn addresses_and_tokens_are_checked() {
    for good in ["http://h", "https://h:8443/", "http://[::1]:80/base"] {
        assert!(check_server(good).is_ok(), "{good}");
    }
    for bad in ["h:80", "ftp://h", "http://", "http://u:p@h", "http://h/?q", "http://h /"] {
        assert!(check_server(bad).is_err(), "{bad}");
    }
    assert_eq!(check_token(" t \n").unwrap(), "t");
    for bad in ["", " ", "a b", "a\nb", "é"] {
        let failure = check_token(bad).unwrap_err();
        assert!(bad.trim().is_empty() || !failure.text.contains(bad), "{}", failure.text);
    }
    for (server, exposed) in [
        ("http://127.0.0.1:8081", false),
        ("http://localhost", false),
        ("http://[::1]:1", false),
        ("http://10.0.0.1", true),
        ("http://127.0.0.1.example", true),
        ("https://h", false),
    ] {
        assert_eq!(is_exposed(server), exposed, "{server}");
    }
}

#[test]
fn names_are_names_paths_or_urns() {
    let screen = Screen::new();
    let mut settings = settings(None, &[("REMPART_WORKSPACE", "w")]).unwrap();
    settings.ca_file = None;
    settings.server = "http://127.0.0.1:1".to_owned();
    let session = Session::open(settings, &screen).unwrap();
    let check = |kind, name: &str, path: &str| {
        assert_eq!(session.urn(kind, name).unwrap().path(), path, "{name}");
    };
    check(Kind::Instance, "web-1", "tenants/acme/workspaces/w/instances/web-1");
    check(Kind::Instance, "workspaces/v/instances/x", "tenants/acme/workspaces/v/instances/x");
    check(Kind::Image, "tenants/public/images/tiny", "tenants/public/images/tiny");
    check(Kind::Image, "seca.storage/v1/tenants/public/images/tiny", "tenants/public/images/tiny");
    check(Kind::Host, "h1", "hosts/h1");
    for bad in ["../x", "a/b", "", "A", "x?y", "tenants/../images/x", "tenants/%2e/images/x"] {
        assert!(session.urn(Kind::Image, bad).is_err(), "{bad}");
    }
    let nested = session.urn(Kind::Subnet, "s").unwrap_err();
    assert!(nested.text.contains("--network"), "{}", nested.text);
    check(Kind::Subnet, "networks/n/subnets/s", "tenants/acme/workspaces/w/networks/n/subnets/s");
    assert_eq!(full_name(&session.urn(Kind::BlockStorage, "d").unwrap()), "volume \"d\" in acme/w");
}

#[test]
fn all_that_is_missing_of_a_place_is_told_at_once() {
    let screen = Screen::new();
    let env = [("REMPART_SERVER", "http://127.0.0.1:1"), ("REMPART_TOKEN", "t")];
    let bare = Session::open(settings(None, &env).unwrap(), &screen).unwrap();
    let check = |kind, name: &str, words: &[&str], absent: &[&str]| {
        let failure = bare.urn(kind, name).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        for word in words {
            assert!(failure.text.contains(word), "{word}: {}", failure.text);
        }
        for word in absent {
            assert!(!failure.text.contains(word), "{word}: {}", failure.text);
        }
    };
    let tenant = ["tenant", "-t TENANT", "REMPART_TENANT", "--replace -t TENANT"];
    let workspace = ["workspace", "-w WORKSPACE", "REMPART_WORKSPACE"];
    check(Kind::Instance, "x", &[&tenant[..3], &workspace, &["-t TENANT -w WORKSPACE"]].concat(), &["list"]);
    check(Kind::Image, "x", &tenant, &workspace);
    check(Kind::Instance, "tenants/t/workspaces/", &[], &["TENANT"]);
    check(Kind::BlockStorage, "workspaces/w/block-storages/x", &tenant, &["-w WORKSPACE"]);
    check(Kind::Subnet, "x", &["tenant and workspace and network", "--network NETWORK"], &[]);
    check(Kind::Subnet, "tenants/t/workspaces/w/subnets/x", &["list networks"], &["REMPART_", "context"]);
}
