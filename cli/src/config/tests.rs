use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn sample() -> Config {
    let context = Context {
        server: "https://cloud.example".to_owned(),
        tenant: Some("acme".to_owned()),
        token: Some(Secret("s3cret".to_owned())),
        ..Context::default()
    };
    Config { current: Some("demo".to_owned()), contexts: BTreeMap::from([("demo".to_owned(), context)]) }
}

#[test]
fn what_is_saved_is_loaded_and_private() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/rempart/config.toml");
    sample().save(&path).unwrap();
    sample().save(&path).unwrap();
    assert_eq!(Config::load(&path).unwrap(), sample());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no part is left behind");
}

#[test]
fn a_link_stays_one() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    sample().save(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    Config::default().save(&link).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(Config::load(&real).unwrap(), Config::default());
}

#[test]
fn a_file_that_others_may_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    sample().save(&path).unwrap();
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let failure = Config::load(&path).unwrap_err();
        assert!(failure.text.contains("chmod 600"), "{}", failure.text);
    }
}

#[test]
fn an_error_names_the_line_and_quotes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    for text in
        ["[contexts.a]\nserver = \"x\"\ntoken = s3cret\n", "[contexts.a]\nserver = \"x\"\nmystery = 1\n"]
    {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let text = Config::load(&path).unwrap_err().text;
        assert!(text.contains("line 3") && !text.contains("s3cret"), "{text}");
    }
    assert!(!format!("{:?}", sample()).contains("s3cret"));
}

#[test]
fn the_path_follows_the_environment() {
    let at = |pairs: &[(&str, &str)]| {
        path(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
            .map(|path| path.display().to_string())
    };
    assert_eq!(at(&[("HOME", "/h")]).unwrap(), "/h/.config/rempart/config.toml");
    assert_eq!(at(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]).unwrap(), "/x/rempart/config.toml");
    assert_eq!(at(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "x")]).unwrap(), "/h/.config/rempart/config.toml");
    assert_eq!(at(&[("HOME", "/h"), ("REMPART_CONFIG", "c")]).unwrap(), "c");
    assert!(at(&[]).is_err());
}
