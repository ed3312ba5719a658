use super::*;

fn sound() -> wire::Desired {
    let volume = Uuid::from_u128(1).to_string();
    wire::Desired {
        stamp: Some(wire::Stamp { cluster_id: "c".into(), incarnation: 1, applied_index: 2 }),
        orders: None,
        tell_everything: false,
        whole: true,
        volumes: vec![wire::Volume {
            uid: volume.clone(),
            generation: 1,
            epoch: 1,
            presence: wire::Presence::Present.into(),
            size_bytes: 1 << 30,
            source: Some(wire::Blob {
                sha256: "ab".repeat(32),
                format: wire::ImageFormat::Qcow2.into(),
                size_bytes: 4096,
                virtual_size_bytes: 1 << 20,
            }),
            request_id: String::new(),
            capture_image_uid: Uuid::from_u128(9).to_string(),
        }],
        instances: vec![wire::Instance {
            uid: Uuid::from_u128(2).to_string(),
            generation: 1,
            epoch: 1,
            presence: wire::Presence::Present.into(),
            hardware: Some(wire::Hardware {
                machine: "pc-q35-7.2".into(),
                cpu_model: "Nehalem".into(),
                firmware: wire::Firmware::Bios.into(),
                vcpus: 1,
                memory_mib: 256,
                disks: vec![wire::Disk { volume_uid: volume, slot: 0, serial: "root".into() }],
                nics: vec![wire::Nic {
                    uid: Uuid::from_u128(3).to_string(),
                    mac: "52:54:00:aa:bb:cc".into(),
                    slot: 1,
                }],
            }),
            seed: None,
            power: Some(wire::Power { on: true, generation: 1, restart: false }),
            request_id: String::new(),
        }],
    }
}

/// Changes a sound message; expects `volumes` and `instances` to pass and the rest to be refused with `why`.
fn check(change: impl FnOnce(&mut wire::Desired), passing: (usize, usize), why: &str) {
    let mut message = sound();
    change(&mut message);
    let desired = desired(message).unwrap();
    assert_eq!((desired.volumes.len(), desired.instances.len()), passing);
    let whys: Vec<&str> = desired.invalid.iter().map(|invalid| invalid.why.as_str()).collect();
    assert!(whys.iter().all(|given| given.contains(why)), "{whys:?}");
    assert_eq!(whys.len(), 2 - passing.0 - passing.1);
}

fn hardware(message: &mut wire::Desired) -> &mut wire::Hardware {
    message.instances[0].hardware.as_mut().unwrap()
}

#[test]
fn a_sound_message_passes() {
    check(|_| {}, (1, 1), "");
}

#[test]
fn names_that_would_reach_a_path_or_xml_are_refused() {
    check(|m| m.volumes[0].uid = "../../etc/passwd".into(), (0, 1), "uid");
    check(|m| m.volumes[0].uid = Uuid::from_u128(1).simple().to_string(), (0, 1), "uid");
    check(|m| m.instances[0].uid = "{00000000-0000-0000-0000-000000000002}".into(), (1, 0), "uid");
    check(|m| m.volumes[0].source.as_mut().unwrap().sha256 = "AB".repeat(32), (0, 1), "digest");
    check(|m| m.volumes[0].source.as_mut().unwrap().sha256 = "../".repeat(21) + "a", (0, 1), "digest");
    check(|m| hardware(m).machine = "pc'/><qemu:commandline>".into(), (1, 0), "plain name");
    check(|m| hardware(m).disks[0].serial = "a\nb".into(), (1, 0), "serial");
    check(|m| hardware(m).nics[0].mac = "52:54:00:aa:bb".into(), (1, 0), "MAC");
}

#[test]
fn numbers_out_of_bounds_are_refused() {
    check(|m| m.volumes[0].size_bytes = 0, (0, 1), "size");
    check(|m| m.volumes[0].size_bytes = u64::MAX - 511, (0, 1), "size");
    check(|m| m.volumes[0].size_bytes = 1024, (0, 1), "smaller");
    check(|m| hardware(m).vcpus = 0, (1, 0), "CPUs");
    check(|m| hardware(m).nics[0].slot = 0, (1, 0), "slot");
    check(|m| m.instances[0].presence = 0, (1, 0), "neither");
    check(|m| m.volumes[0].source.as_mut().unwrap().format = 77, (0, 1), "format");
    let keys = wire::Seed { ssh_keys: vec!["k".into(); 1 << 16], ..Default::default() };
    check(|m| m.instances[0].seed = Some(keys), (1, 0), "SSH keys");
}

/// What tenants may ask for by the contract, passes.
#[test]
fn the_most_ssh_keys_that_a_tenant_may_have_pass() {
    let keys = vec!["k".repeat(MAX_SSH_KEY_CHARACTERS); MAX_SSH_KEYS];
    check(|m| m.instances[0].seed = Some(wire::Seed { ssh_keys: keys, ..Default::default() }), (1, 1), "");
}

/// It would be in deletion for ever, and what it holds with it.
#[test]
fn what_could_not_be_made_can_be_removed() {
    let absent = i32::from(wire::Presence::Absent);
    let keys = wire::Seed { ssh_keys: vec!["k".into(); 1 << 16], ..Default::default() };
    let remove = |m: &mut wire::Desired| {
        (m.volumes[0].presence, m.instances[0].presence) = (absent, absent);
        m.volumes[0].source.as_mut().unwrap().format = 77;
        m.volumes[0].size_bytes = 0;
        hardware(m).vcpus = 0;
        m.instances[0].seed = Some(keys);
    };
    check(remove, (1, 1), "");
}

#[test]
fn one_bad_object_does_not_hide_the_others_and_is_named() {
    let mut message = sound();
    message.volumes[0].size_bytes = 3;
    let desired = desired(message).unwrap();
    assert_eq!(desired.invalid[0].object, Some(Object::Volume(Uuid::from_u128(1))));
    assert_eq!(desired.instances.len(), 1);
}

#[test]
fn nothing_is_read_without_a_stamp() {
    let mut message = sound();
    message.stamp = None;
    assert!(desired(message).is_err());
}
