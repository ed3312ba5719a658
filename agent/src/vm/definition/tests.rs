use super::*;
use proptest::prelude::*;
use quick_xml::events::Event;
use uuid::Uuid;

/// An element as a reader of the document finds it. Parsed with the event reader, which shares no code with the
/// serialiser.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Element>,
}

fn parse(xml: &str) -> Element {
    let mut reader = quick_xml::Reader::from_str(xml);
    let open = |start: &quick_xml::events::BytesStart<'_>| Element {
        name: start.name().into_inner().to_owned(),
        attributes: start
            .attributes()
            .map(|attribute| {
                let attribute = attribute.unwrap();
                let key = attribute.key.into_inner().to_owned();
                (key, quick_xml::escape::unescape(&attribute.value).unwrap().into_owned())
            })
            .collect(),
        ..Element::default()
    };
    let mut stack = vec![Element::default()];
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => stack.push(open(&start)),
            Event::Empty(start) => stack.last_mut().unwrap().children.push(open(&start)),
            Event::End(_) => {
                let mut done = stack.pop().unwrap();
                if !done.children.is_empty() {
                    // Only indentation.
                    assert_eq!(done.text.trim(), "");
                    done.text.clear();
                }
                stack.last_mut().unwrap().children.push(done);
            }
            Event::Text(text) => stack.last_mut().unwrap().text.push_str(&text),
            Event::GeneralRef(reference) => {
                let reference = format!("&{};", &*reference);
                let text = quick_xml::escape::unescape(&reference).unwrap().into_owned();
                stack.last_mut().unwrap().text.push_str(&text);
            }
            Event::Eof => break,
            other => panic!("a domain has no {other:?}"),
        }
    }
    assert_eq!(stack.len(), 1);
    stack.pop().unwrap().children.pop().unwrap()
}

impl Element {
    fn at(&self, path: &str) -> &Element {
        path.split('/').fold(self, |element, step| {
            let (name, position) =
                step.split_once('#').map_or((step, 0), |(name, n)| (name, n.parse().unwrap()));
            element.children.iter().filter(|child| child.name == name).nth(position).unwrap()
        })
    }

    fn attribute(&self, name: &str) -> &str {
        &self.attributes.iter().find(|(key, _)| key == name).unwrap().1
    }

    /// The same tree without what values may change.
    fn shape(&self) -> Element {
        let blank = |(key, _): &(String, String)| (key.clone(), String::new());
        Element {
            name: self.name.clone(),
            attributes: self.attributes.iter().map(blank).collect(),
            text: String::new(),
            children: self.children.iter().map(Element::shape).collect(),
        }
    }
}

fn guest(firmware: Firmware) -> Guest {
    Guest {
        uuid: Uuid::parse_str("0198f0e4-7d3c-7a51-9c1b-2f6f1a6a0001").unwrap(),
        machine: "pc-q35-7.2".into(),
        cpu_model: "Nehalem".into(),
        firmware,
        vcpus: 2,
        memory_mib: 512,
        disks: vec![
            GuestDisk {
                path: "/var/lib/rempart/volumes/boot.qcow2".into(),
                slot: 0,
                serial: "0198f0e47d3c7a519c1b".into(),
            },
            GuestDisk { path: "/var/lib/rempart/volumes/data.qcow2".into(), slot: 9, serial: "data".into() },
        ],
        seed: "/var/lib/rempart/seeds/a.img".into(),
        run_dir: "/run/rempart/guests/a".into(),
    }
}

fn facts() -> Facts {
    let uefi = UefiImage {
        code: "/usr/share/OVMF/OVMF_CODE_4M.fd".into(),
        variables_template: "/usr/share/OVMF/OVMF_VARS_4M.fd".into(),
    };
    Facts { acceleration: Acceleration::Emulation, uefi: Some(uefi) }
}

fn golden(name: &str, written: &str, expected: &str) {
    if written == expected.trim_end() {
        return;
    }
    let fresh = std::env::temp_dir().join(name);
    std::fs::write(&fresh, format!("{written}\n")).unwrap();
    panic!(
        "the definition of an unchanged guest changed. If that is meant: raise LAYOUT in definition/digest.rs and \
         copy {} to src/vm/testdata/",
        fresh.display()
    );
}

#[test]
fn a_bios_guest_is_written_as_ever() {
    let xml = write(&guest(Firmware::Bios), &facts()).unwrap();
    golden("domain-bios.xml", &xml, include_str!("../testdata/domain-bios.xml"));
}

#[test]
fn a_uefi_guest_is_written_as_ever() {
    let kvm = Facts { acceleration: Acceleration::Kvm, ..facts() };
    let xml = write(&guest(Firmware::Uefi), &kvm).unwrap();
    golden("domain-uefi.xml", &xml, include_str!("../testdata/domain-uefi.xml"));
}

#[test]
fn what_is_dangerous_by_default_is_stated() {
    let tree = parse(&write(&guest(Firmware::Uefi), &facts()).unwrap());
    assert_eq!(tree.attribute("type"), "qemu");
    let disks: Vec<&Element> =
        tree.at("devices").children.iter().filter(|child| child.name == "disk").collect();
    assert_eq!(disks.len(), 3);
    for disk in &disks {
        assert!(["qcow2", "raw"].contains(&disk.at("driver").attribute("type")), "a format is probed");
    }
    assert_eq!(disks[0].at("boot").attribute("order"), "1");
    assert!(disks[1].children.iter().all(|child| child.name != "boot"));
    assert_eq!(disks[2].at("driver").attribute("type"), "raw");
    assert!(disks[2].children.iter().any(|child| child.name == "readonly"));
    assert_eq!(tree.at("devices/graphics").attributes, [("type".into(), "vnc".into())]);
    assert_eq!(tree.at("devices/graphics/listen").attributes, [("type".into(), "socket".into())]);
    assert_eq!(tree.at("devices/serial").attribute("type"), "unix");
    assert!(tree.at("devices").children.iter().all(|child| child.name != "interface"), "a default network");
}

#[test]
fn no_two_devices_share_an_address() {
    let mut guest = guest(Firmware::Bios);
    guest.disks = (0..SLOTS)
        .map(|slot| GuestDisk { path: format!("/{slot}").into(), slot, serial: String::new() })
        .collect();
    let tree = parse(&write(&guest, &facts()).unwrap());
    let devices = &tree.at("devices").children;
    let addresses: Vec<_> = devices
        .iter()
        .flat_map(|device| device.children.iter().filter(|child| child.name == "address"))
        .map(|address| ["bus", "slot", "function"].map(|part| address.attribute(part).to_owned()))
        .collect();
    let distinct: BTreeSet<_> = addresses.iter().collect();
    assert_eq!(addresses.len(), distinct.len());
    // Ports, disks, seed, VGA, rng, balloon.
    assert_eq!(addresses.len(), Port::all(SLOTS - 1).count() + SLOTS as usize + 4);
    // Beyond 1a are q35's own devices.
    let last = Port::all(SLOTS - 1).last().unwrap();
    assert!(last.number() >> 3 < 0x1b, "{last:?}");
    let names: BTreeSet<_> = devices
        .iter()
        .filter(|device| device.name == "disk")
        .map(|disk| disk.at("target").attribute("dev"))
        .collect();
    assert_eq!(names.len(), SLOTS as usize + 1);
}

#[test]
fn ports_come_in_groups_with_room_to_plug_and_never_move() {
    let count = |highest| Port::all(highest).count() - 3;
    for (highest, ports) in [(0, 8), (3, 8), (4, 16), (11, 16), (12, 24), (83, 88), (87, 88), (u32::MAX, 88)]
    {
        assert_eq!(count(highest), ports, "slots up to {highest}");
    }
    let every: Vec<Port> = Port::all(SLOTS).collect();
    for highest in 0..SLOTS {
        let ports: Vec<Port> = Port::all(highest).collect();
        assert!(every.starts_with(&ports));
        assert!(ports.contains(&Port::of_slot(highest).unwrap()));
    }
    assert_eq!(Port::of_slot(SLOTS), None);
}

#[test]
fn target_names_count_like_linux_does() {
    for (slot, name) in [(0, "vda"), (25, "vdz"), (26, "vdaa"), (51, "vdaz"), (52, "vdba"), (88, "vdck")] {
        assert_eq!(target_name(slot), name);
    }
}

#[test]
fn what_cannot_be_defined_says_why() {
    let check = |change: fn(&mut Guest), expected: Undefinable| {
        let mut guest = guest(Firmware::Bios);
        change(&mut guest);
        assert_eq!(write(&guest, &facts()), Err(expected));
    };
    check(|guest| guest.machine = "q35".into(), Undefinable::Machine("q35".into()));
    check(|guest| guest.disks[1].slot = SLOTS, Undefinable::Slot(SLOTS));
    check(|guest| guest.disks[1].slot = 0, Undefinable::SlotTaken(0));
    check(|guest| guest.disks[0].serial = "x".repeat(21), Undefinable::Serial("x".repeat(21)));
    check(|guest| guest.cpu_model = "a\0b".into(), Undefinable::Unwritable { field: "cpu_model" });
    check(|guest| guest.cpu_model = "\u{ffff}".into(), Undefinable::Unwritable { field: "cpu_model" });
    let long = format!("/{}", "x".repeat(100));
    let path = PathBuf::from(&long).join("serial.sock");
    let mut guest = guest(Firmware::Bios);
    guest.run_dir = long.into();
    assert_eq!(write(&guest, &facts()), Err(Undefinable::SocketPath { path }));
}

#[test]
fn a_uefi_guest_needs_firmware() {
    let facts = Facts { uefi: None, ..facts() };
    assert_eq!(write(&guest(Firmware::Uefi), &facts), Err(Undefinable::NoUefi));
    assert!(write(&guest(Firmware::Bios), &facts).is_ok());
}

#[test]
fn every_field_is_in_the_digest() {
    let changes: [fn(&mut Guest); 13] = [
        |guest| guest.uuid = Uuid::nil(),
        |guest| guest.machine.push('1'),
        |guest| guest.cpu_model.push('1'),
        |guest| guest.firmware = Firmware::Uefi,
        |guest| guest.vcpus += 1,
        |guest| guest.memory_mib += 1,
        |guest| guest.seed.push("x"),
        |guest| guest.run_dir.push("x"),
        |guest| guest.disks.truncate(1),
        |guest| guest.disks.swap(0, 1),
        |guest| guest.disks[0].path.push("x"),
        |guest| guest.disks[0].slot += 1,
        |guest| guest.disks[0].serial.clear(),
    ];
    let original = guest(Firmware::Bios);
    let mut digests = BTreeSet::from([original.digest()]);
    for (position, change) in changes.iter().enumerate() {
        let mut guest = original.clone();
        change(&mut guest);
        assert!(digests.insert(guest.digest()), "change {position} goes unnoticed");
    }
    assert_eq!(original.digest(), guest(Firmware::Bios).digest());
}

#[test]
fn a_definition_is_recognised_and_one_of_another_host_is_not_taken_for_current() {
    let guest = guest(Firmware::Bios);
    let tree = parse(&write(&guest, &facts()).unwrap());
    let ours = tree.at("metadata/rempart:domain");
    assert_eq!(ours.attribute("xmlns:rempart"), NAMESPACE);
    // As libvirt gives it back: the element alone, without the prefix.
    let element = format!(
        "<domain xmlns=\"{NAMESPACE}\" definition=\"{}\" host=\"{}\"/>",
        ours.attribute("definition"),
        ours.attribute("host")
    );
    let origin = DefinedFrom::read(&element).unwrap();
    assert_eq!(origin.clone().as_seen_from(&facts()), guest.digest());
    let elsewhere = Facts { acceleration: Acceleration::Kvm, ..facts() };
    assert_ne!(origin.as_seen_from(&elsewhere), guest.digest());
    assert_eq!(DefinedFrom::read("<domain/>"), None);
    assert_eq!(DefinedFrom::read("<domain"), None);
}

/// Puts `text` into every field of the kind and asks for it where it belongs.
fn check_hostile(text: &str) {
    let mut guest = guest(Firmware::Uefi);
    guest.machine = format!("pc-q35-{text}");
    guest.cpu_model = text.into();
    // The serial is short; cut at a character.
    let serial: String = text
        .chars()
        .scan(0, |length, c| {
            *length += c.len_utf8();
            (*length <= DISK_SERIAL_MAX_BYTES).then_some(c)
        })
        .collect();
    guest.disks[0].serial = serial.clone();
    guest.disks[0].path = format!("/volumes/{text}").into();
    guest.seed = format!("/seeds/{text}").into();
    let mut facts = facts();
    facts.uefi.as_mut().unwrap().code = format!("/code/{text}").into();
    facts.uefi.as_mut().unwrap().variables_template = format!("/vars/{text}").into();
    let harmless = parse(&write(&super::tests::guest(Firmware::Uefi), &super::tests::facts()).unwrap());

    let tree = parse(&write(&guest, &facts).unwrap());
    assert_eq!(tree.shape(), harmless.shape());
    assert_eq!(tree.at("os/type").attribute("machine"), guest.machine);
    assert_eq!(tree.at("cpu/model").text, text);
    assert_eq!(tree.at("os/loader").text, format!("/code/{text}"));
    assert_eq!(tree.at("os/nvram").attribute("template"), format!("/vars/{text}"));
    assert_eq!(tree.at("devices/disk#0/serial").text, serial);
    assert_eq!(tree.at("devices/disk#0/source").attribute("file"), format!("/volumes/{text}"));
    assert_eq!(tree.at("devices/disk#2/source").attribute("file"), format!("/seeds/{text}"));
}

#[test]
fn hostile_text_stays_text() {
    for text in [
        "</name><qemu:commandline><qemu:arg value='-chardev'/></qemu:commandline>",
        "</serial><boot order='1'/>",
        "' type='raw",
        "\" type=\"raw",
        "]]>",
        "<![CDATA[x]]>",
        "<!-- -->",
        "<?xml?>",
        "&lt;&amp;&#60;&entity;",
        "%26lt;",
        "\r\n\t x \r\n",
        "é\u{202e}\u{1f600}",
        "${IFS};|`id`",
    ] {
        check_hostile(text);
    }
}

#[test]
fn a_hostile_run_dir_stays_text() {
    let mut guest = guest(Firmware::Uefi);
    guest.run_dir = "/run/'><x y=\"&\r\n\t]]>".into();
    let tree = parse(&write(&guest, &facts()).unwrap());
    let run_dir = guest.run_dir.to_str().unwrap();
    assert_eq!(tree.at("os/nvram").text, format!("{run_dir}/nvram.fd"));
    assert_eq!(tree.at("devices/serial/source").attribute("path"), format!("{run_dir}/serial.sock"));
    assert_eq!(tree.at("devices/serial/log").attribute("file"), format!("{run_dir}/serial.log"));
}

proptest! {
    #[test]
    fn any_writable_text_stays_text(text in "[\\t\\n\\r -\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]{1,30}") {
        check_hostile(&text);
    }

    #[test]
    fn any_other_text_is_refused(before in "[a-z<&]{0,5}", c in "[\u{0}-\u{8}\u{b}\u{c}\u{e}-\u{1f}\u{fffe}\u{ffff}]") {
        let mut guest = guest(Firmware::Bios);
        guest.seed = format!("/{before}{c}").into();
        prop_assert_eq!(write(&guest, &facts()), Err(Undefinable::Unwritable { field: "seed path" }));
    }
}
