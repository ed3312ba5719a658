use super::*;

#[test]
fn a_second_agent_is_refused_until_the_first_ends() {
    let temp = tempfile::tempdir().unwrap();
    let data = DataDir::new(temp.path().join("data"));
    let held = data.prepare().unwrap();
    assert!(matches!(data.prepare(), Err(LayoutError::Held(_))));
    drop(held);
    data.prepare().unwrap();
}

#[test]
fn a_directory_too_deep_for_sockets_is_refused_before_anything_is_made() {
    let temp = tempfile::tempdir().unwrap();
    let deep = temp.path().join("d".repeat(60));
    assert!(matches!(DataDir::new(&deep).prepare(), Err(LayoutError::TooDeep { .. })));
    assert!(!deep.exists());
}

#[test]
fn secrets_are_for_the_owner_alone() {
    let temp = tempfile::tempdir().unwrap();
    let data = DataDir::new(temp.path().join("data"));
    let _held = data.prepare().unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(data.ledger_dir()), 0o700);
    assert_eq!(mode(data.volumes_dir()), 0o711);
}
