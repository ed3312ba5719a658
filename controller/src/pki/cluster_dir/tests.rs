use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::auth::Audience;

const HOUR: Duration = Duration::from_secs(3600);

fn cluster() -> Cluster {
    Cluster { cluster_id: Uuid::from_u128(7), region: "local".into(), zones: vec!["a".into()] }
}

fn made() -> (tempfile::TempDir, ClusterDir) {
    let dir = tempfile::tempdir().unwrap();
    let cluster_dir = ClusterDir::new(dir.path().join("cluster"));
    cluster_dir.init(&cluster(), 3, HOUR).unwrap();
    (dir, cluster_dir)
}

#[test]
fn what_init_made_opens_and_is_made_once() {
    let (_dir, cluster_dir) = made();
    let keys = cluster_dir.open(HOUR).unwrap();
    assert_eq!((keys.replica_id, keys.cluster), (3, cluster()));
    let token = keys.issuer.issue(Audience::Api, "alice", HOUR).unwrap();
    let again = cluster_dir.open(HOUR).unwrap();
    assert_eq!(again.issuer.verify(Audience::Api, &token).as_deref(), Ok("alice"));
    assert_ne!(again.credentials.certificate().der, keys.credentials.certificate().der, "a fresh one");
    assert!(cluster_dir.init(&cluster(), 3, HOUR).unwrap_err().to_string().contains("belongs to a cluster"));
    fs::remove_file(cluster_dir.file(CLUSTER)).unwrap();
    assert!(cluster_dir.init(&cluster(), 3, HOUR).unwrap_err().to_string().contains("cut off"));
}

#[test]
fn files_that_others_may_read_are_refused() {
    let (_dir, cluster_dir) = made();
    assert_eq!(fs::metadata(cluster_dir.path()).unwrap().permissions().mode() & 0o777, 0o700);
    for name in [ROOT_KEY, CA_KEY, ISSUER_KEY, KEY] {
        let path = cluster_dir.file(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = cluster_dir.open(HOUR).err().unwrap().to_string();
        assert!(refused.contains(name) && refused.contains("0600"), "{refused}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    cluster_dir.open(HOUR).unwrap();
}

#[test]
fn no_key_but_the_root_and_its_own_is_there_in_clear() {
    let (_dir, cluster_dir) = made();
    let keys = cluster_dir.open(HOUR).unwrap();
    let ca_key = keys.ca.key().to_pkcs8();
    // The private scalar of a PKCS#8 P-256 key.
    let secret = &ca_key[36..68];
    for entry in fs::read_dir(cluster_dir.path()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    }
}

#[test]
fn what_is_missing_or_of_another_cluster_is_said() {
    let ((_dir, ours), (_other, theirs)) = (made(), made());
    let refused = ClusterDir::new(ours.path().join("nowhere")).open(HOUR).err().unwrap();
    assert!(refused.to_string().contains("rempart-controller init"), "{refused}");
    for (name, words) in [(ROOT_KEY, "root key"), (CA_CERTIFICATE, "not that of its certificate")] {
        let kept = fs::read(ours.file(name)).unwrap();
        fs::copy(theirs.file(name), ours.file(name)).unwrap();
        let refused = ours.open(HOUR).err().unwrap().to_string();
        assert!(refused.contains(words), "{name}: {refused}");
        fs::write(ours.file(name), kept).unwrap();
    }
    fs::remove_file(ours.file(ROOT_KEY)).unwrap();
    assert!(ours.open(HOUR).err().unwrap().to_string().contains("before there were certificates"));
}
