use super::*;
use crate::vm::Firmware;

fn guest(uuid: Uuid) -> Guest {
    Guest {
        uuid,
        machine: "pc-q35-7.2".into(),
        cpu_model: "qemu64".into(),
        firmware: Firmware::Bios,
        vcpus: 1,
        memory_mib: 64,
        disks: Vec::new(),
        seed: "/seed".into(),
        run_dir: "/run".into(),
    }
}

/// The one domain's (running, cause).
fn power(host: &Simulated) -> (bool, Option<OffCause>) {
    let domains = host.domains().unwrap();
    (domains[0].running, domains[0].off_cause)
}

#[test]
fn a_guest_lives_as_on_a_real_host_and_every_step_may_be_repeated() {
    let host = Simulated::new(Behaviour::default());
    let bell = host.changes();
    let guest = guest(Uuid::from_u128(1));
    let uuid = guest.uuid;
    assert!(matches!(host.start(uuid), Err(HypervisorError::Refused { action: "start", .. })));
    type Step = fn(&Simulated, Uuid) -> Result<(), HypervisorError>;
    let steps: [Step; 5] = [
        |host, uuid| host.start(uuid),
        |host, uuid| host.press_power_button(uuid),
        |host, uuid| host.start(uuid),
        |host, uuid| host.power_off(uuid),
        |host, uuid| host.undefine(uuid),
    ];
    for step in steps {
        host.define(&guest).unwrap();
        let rings = *bell.borrow();
        step(&host, uuid).unwrap();
        step(&host, uuid).unwrap();
        assert!(*bell.borrow() > rings);
    }
    assert_eq!(host.domains().unwrap(), []);
    host.power_off(uuid).unwrap();
}

#[test]
fn causes_of_being_off() {
    let host = Simulated::new(Behaviour::default());
    let guest = guest(Uuid::from_u128(1));
    host.define(&guest).unwrap();
    assert_eq!(host.domains().unwrap()[0].definition, Some(guest.digest()));
    assert_eq!(power(&host), (false, None));
    host.start(guest.uuid).unwrap();
    assert!(matches!(host.undefine(guest.uuid), Err(HypervisorError::Refused { .. })));
    host.end(guest.uuid, OffCause::Crashed);
    assert_eq!(power(&host), (false, Some(OffCause::Crashed)));
    // Off already: the cause stays.
    host.power_off(guest.uuid).unwrap();
    assert_eq!(power(&host), (false, Some(OffCause::Crashed)));
    host.start(guest.uuid).unwrap();
    assert_eq!(power(&host), (true, None));
    host.reboot_host();
    assert_eq!(power(&host), (false, None));
}

#[test]
fn it_misbehaves_on_demand() {
    let host = Simulated::new(Behaviour { ignores_power_button: true, ..Behaviour::default() });
    let guest = guest(Uuid::from_u128(1));
    host.define(&guest).unwrap();
    host.start(guest.uuid).unwrap();
    host.press_power_button(guest.uuid).unwrap();
    assert_eq!(power(&host), (true, None));
    host.set_trouble(Some("stopped"));
    assert!(matches!(host.domains(), Err(HypervisorError::Unavailable(_))));
    assert!(matches!(host.start(guest.uuid), Err(HypervisorError::Unavailable(_))));
    host.set_trouble(None);
    assert_eq!(power(&host), (true, None));
}
