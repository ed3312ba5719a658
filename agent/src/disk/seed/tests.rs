use super::*;
use crate::desired::wire::{MAX_SSH_KEY_CHARACTERS, MAX_SSH_KEYS, MAX_USER_DATA_BYTES};
use serde_json::{Value, json};
use std::io::Read;

const HOSTILE: [&str; 12] = [
    "",
    "plain",
    "a\nb: c\n",
    "\"}\n, \"instance-id\": \"stolen\"",
    "'quotes' \"and\" \\ backslashes \\u0041",
    "---\n- &anchor !!python/object:os.system x",
    "nul\0inside",
    "\u{202e}bidi\u{2066}",
    "next\u{85}line\u{2028}separator\u{2029}",
    "\u{7f}\u{9f}\u{feff}\u{fffe}",
    "\u{1f980} emoji and ünïcode",
    "#cloud-config\nruncmd: [reboot]",
];

fn files(bytes: &mut [u8]) -> Vec<(String, Vec<u8>)> {
    let volume = FileSystem::new(Cursor::new(&mut bytes[..FILE_SYSTEM_BYTES]), FsOptions::new()).unwrap();
    assert_eq!(volume.volume_label(), "CIDATA");
    assert_eq!(volume.read_volume_label_from_root_dir().unwrap().as_deref(), Some("CIDATA"));
    let root = volume.root_dir();
    root.iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let mut content = Vec::new();
            entry.to_file().read_to_end(&mut content).unwrap();
            (entry.file_name(), content)
        })
        .collect()
}

/// Builds a seed, reads it back, and expects exactly the intended trees and bytes.
fn check(seed: &Seed) {
    let mut bytes = image(seed).unwrap();
    assert_eq!(bytes, image(seed).unwrap(), "equal seeds are equal bytes");
    let files = files(&mut bytes);
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["meta-data", "user-data", "vendor-data"]);
    assert!(files[0].1.iter().all(|byte| *byte != b'\n'), "YAML sees one line");
    assert_eq!(
        serde_json::from_slice::<Value>(&files[0].1).unwrap(),
        json!({"instance-id": seed.instance_id, "local-hostname": seed.hostname, "public-keys": seed.ssh_keys})
    );
    assert_eq!(files[1].1, seed.user_data.as_bytes());
    let vendor = files[2].1.strip_prefix(b"#cloud-config\n").unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(vendor).unwrap(),
        json!({"ssh_authorized_keys": seed.ssh_keys})
    );
}

#[test]
fn a_hostile_string_changes_no_other_key() {
    // Line feeds, quotes, other documents, YAML tags, terminal escapes.
    for hostile in HOSTILE {
        check(&Seed {
            instance_id: hostile.into(),
            hostname: hostile.into(),
            ssh_keys: vec![hostile.into(), "ssh-ed25519 AAAA me".into()],
            user_data: hostile.into(),
        });
    }
}

#[test]
fn the_largest_seed_fits_however_it_is_escaped() {
    check(&Seed {
        instance_id: "\u{fffe}".repeat(85),
        hostname: "\0".repeat(255),
        ssh_keys: vec!["\u{fffe}".repeat(MAX_SSH_KEY_CHARACTERS); MAX_SSH_KEYS],
        user_data: "u".repeat(MAX_USER_DATA_BYTES),
    });
}

#[test]
fn what_python_reads_as_yaml_is_the_same() {
    let hostile: Vec<String> = HOSTILE.iter().map(ToString::to_string).collect();
    let meta_data = MetaData { instance_id: "i", local_hostname: HOSTILE[3], public_keys: &hostile };
    let script = "import sys, json\n\
                  try:\n  import yaml\n\
                  except ImportError: sys.exit(77)\n\
                  text = sys.stdin.buffer.read()\n\
                  sys.exit(yaml.safe_load(text) != json.loads(text))";
    let Ok(mut python) = std::process::Command::new("python3")
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .spawn()
    else {
        return;
    };
    python.stdin.take().unwrap().write_all(&super::json(&meta_data).unwrap()).unwrap();
    let code = python.wait().unwrap().code();
    assert!(matches!(code, Some(0 | 77)), "{code:?}");
}

#[test]
fn a_file_tells_which_seed_it_was_made_from() {
    use std::os::unix::fs::PermissionsExt;
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("seed.img");
    assert_eq!(read_fingerprint(&path), None);
    let seed = Seed { ssh_keys: vec!["ab".into(), "c".into()], ..Seed::default() };
    write(&path, &seed).unwrap();
    assert_eq!(read_fingerprint(&path), Some(fingerprint(&seed)));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let moved = Seed { ssh_keys: vec!["a".into(), "bc".into()], ..Seed::default() };
    assert_ne!(fingerprint(&seed), fingerprint(&moved), "fields do not run into each other");
}

#[test]
fn debug_shows_no_tenant_data() {
    let seed = Seed { user_data: "password: hunter2".into(), ..Seed::default() };
    assert!(!format!("{seed:?}").contains("hunter2"));
}
