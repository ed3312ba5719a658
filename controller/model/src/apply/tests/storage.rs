//! Volumes, their content, images, and the hardware they become.

use rempart_api::storage::{BlobFormat, BlobSpec, BootMode};

use super::*;

fn image(name: &str) -> Urn {
    Urn::tenant(Kind::Image, "t1", name)
}

fn image_of(volume: &str, more: Value) -> Value {
    let source = format!("workspaces/w1/block-storages/{volume}");
    let mut spec = json!({"blockStorageRef": source, "cpuArchitecture": "amd64"});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    spec
}

fn blob(gigabytes: u64) -> BlobSpec {
    BlobSpec {
        sha256: "ab".repeat(32),
        format: BlobFormat::Qcow2,
        size_bytes: 5 << 20,
        virtual_size_bytes: gigabytes << 30,
    }
}

fn fill(world: &mut World, name: &str, content: BlobSpec) -> Outcome {
    world.apply(Command::Fill(FillCommand { urn: volume(name), content }))
}

fn with_image(mut spec: Value, image: &str) -> Value {
    spec["sourceImageRef"] = json!(image);
    spec
}

fn content(world: &World, urn: &Urn) -> Option<BlobSpec> {
    match &world.get(urn).detail {
        Detail::Volume(volume) => volume.content.clone(),
        Detail::Image(image) => image.content.clone(),
        other => panic!("{urn} has no content: {other:?}"),
    }
}

fn slots(world: &World) -> Vec<(String, u32, String)> {
    let hardware = world.detail(&instance("vm")).hardware.as_ref().unwrap();
    let name = |uid| world.state.by_uid(uid).unwrap().urn.name.clone();
    hardware.disks.iter().map(|disk| (name(disk.volume), disk.slot, disk.serial.clone())).collect()
}

#[test]
fn a_blank_volume_is_filled_once() {
    let mut world = World::new();
    world.created(&volume("upload"), volume_spec(2));
    assert_eq!(fill(&mut world, "upload", blob(2)), Ok(Answer::Accepted));
    assert_eq!(world.history(&volume("upload")), "active updating active creating pending");
    assert_eq!(world.version(&volume("upload")), 2);
    assert_eq!(fill(&mut world, "upload", blob(2)), Ok(Answer::Accepted), "the same again");
    assert_eq!(world.version(&volume("upload")), 2);
    refused(fill(&mut world, "upload", blob(1)), RefusalClass::Conflict, "only a new, blank volume");
    refused(fill(&mut world, "none", blob(1)), RefusalClass::NotFound, "does not exist");
}

#[test]
fn content_must_be_sound_and_fit() {
    let mut world = World::new();
    world.created(&volume("upload"), volume_spec(1));
    let check = |world: &mut World, content: BlobSpec, pointer: &str| {
        assert_eq!(refused(fill(world, "upload", content), RefusalClass::Invalid, "must"), pointer);
    };
    check(&mut world, BlobSpec { sha256: "AB".repeat(32), ..blob(1) }, "/sha256");
    check(&mut world, BlobSpec { sha256: "../../etc/passwd".into(), ..blob(1) }, "/sha256");
    check(&mut world, BlobSpec { size_bytes: 0, ..blob(1) }, "/sizeBytes");
    check(&mut world, blob(2), "/virtualSizeBytes");
    check(&mut world, blob(0), "/virtualSizeBytes");
}

#[test]
fn what_has_a_user_or_a_source_is_not_filled() {
    let mut world = World::with_active_instance();
    refused(fill(&mut world, "boot", blob(1)), RefusalClass::Conflict, "content or a user already");
    world.created(&volume("upload"), volume_spec(1));
    world.created(&image("i"), image_of("upload", json!({})));
    world.created(&volume("copy"), json!({"sizeGB": 1, "skuRef": "rd100", "sourceImageRef": "i"}));
    refused(fill(&mut world, "copy", blob(1)), RefusalClass::Conflict, "content or a user already");
    world.deleted(&instance("vm"));
    world.deleted(&volume("boot"));
    refused(fill(&mut world, "boot", blob(1)), RefusalClass::Conflict, "is being deleted");
    let fill = Command::Fill(FillCommand { urn: workspace("w1"), content: blob(1) });
    refused(world.apply(fill), RefusalClass::Conflict, "is not a block storage");
}

#[test]
fn an_image_copies_a_volume_and_a_volume_copies_an_image() {
    let mut world = World::new();
    world.created(&volume("upload"), volume_spec(3));
    fill(&mut world, "upload", blob(2)).unwrap();
    world.created(&image("debian"), image_of("upload", json!({"boot": "BIOS"})));
    assert_eq!(content(&world, &image("debian")), Some(blob(2)));
    assert_eq!(world.status(&image("debian"))["sizeMB"], 2048);
    world.deleted(&volume("upload"));

    let copy =
        |size_gb: u32| json!({"sizeGB": size_gb, "skuRef": "rd100", "sourceImageRef": "images/debian"});
    let small = world.put(&volume("boot"), copy(1));
    assert_eq!(refused(small, RefusalClass::Invalid, "needs at least 2 GB"), "/spec/sizeGB");
    world.created(&volume("boot"), copy(2));
    assert_eq!(content(&world, &volume("boot")), Some(blob(2)));
    world.deleted(&image("debian"));
    world.updated(&volume("boot"), copy(4));
    assert_eq!(content(&world, &volume("boot")), Some(blob(2)), "its own copy");
    world.created(&instance("vm"), instance_spec("boot"));
    assert_eq!(world.detail(&instance("vm")).hardware.as_ref().unwrap().firmware, BootMode::Bios);
    let blanked = world.put(&volume("boot"), volume_spec(4));
    assert_eq!(refused(blanked, RefusalClass::Invalid, "cannot be changed"), "/spec/sourceImageRef");
}

#[test]
fn an_image_of_a_blank_volume_needs_the_volumes_size() {
    let mut world = World::new();
    world.created(&volume("blank"), volume_spec(3));
    world.created(&image("blank"), image_of("blank", json!({})));
    let small = json!({"sizeGB": 2, "skuRef": "rd100", "sourceImageRef": "blank"});
    refused(world.put(&volume("v"), small), RefusalClass::Invalid, "needs at least 3 GB");
}

#[test]
fn an_image_describes_itself_anew_and_keeps_its_source() {
    let mut world = World::new();
    world.created(&volume("one"), volume_spec(1));
    world.created(&volume("two"), volume_spec(1));
    world.created(&image("i"), image_of("one", json!({})));
    world.updated(
        &image("i"),
        image_of("one", json!({"cpuArchitecture": "arm64", "initializer": "cloudinit-22"})),
    );
    let other = world.put(&image("i"), image_of("two", json!({})));
    assert_eq!(refused(other, RefusalClass::Invalid, "cannot be changed"), "/spec/blockStorageRef");
    world.deleted(&volume("one"));
    world.updated(&image("i"), image_of("one", json!({})));
}

#[test]
fn an_image_of_a_volume_that_a_host_holds_waits_for_the_hosts_copy() {
    let mut world = World::with_instance();
    world.created(&image("early"), image_of("boot", json!({})));
    world.report("h1");
    assert_eq!(content(&world, &image("early")), None, "of before a host had it");
    world.created(&image("late"), image_of("boot", json!({})));
    assert_eq!(world.history(&image("late")), "creating pending");
    assert_eq!(world.status(&image("late"))["conditions"][0]["reason"], "Copying");
    refused(
        world.put(&image("third"), image_of("boot", json!({}))),
        RefusalClass::Conflict,
        "being copied to",
    );
    refused(world.delete(&volume("boot")), RefusalClass::Conflict, "used by");
    refused(
        world.put(&volume("of"), with_image(volume_spec(9), "images/late")),
        RefusalClass::Conflict,
        "not complete;",
    );
    let (of, to) = (world.get(&volume("boot")).uid, world.get(&image("late")).uid);
    let desired = world.state.desired(world.get(&volume("boot")));
    assert!(
        matches!(&desired, Some(DesiredObject::Volume(volume)) if volume.capture == Some(to)),
        "{desired:?}"
    );
    // What fails is the copy: it is the image's condition, not the volume's.
    let failed = failure("PoolFull");
    let Some(DesiredObject::Volume(asked)) = desired else { panic!() };
    let said = VolumeReport {
        uid: of,
        generation: asked.generation,
        epoch: 1,
        present: true,
        failure: None,
        capture_failure: failed,
    };
    world
        .apply(Command::Report(ReportCommand {
            host: "h1".into(),
            objects: vec![ObjectReport::Volume(said)],
        }))
        .unwrap();
    assert_eq!(world.status(&image("late"))["conditions"][0]["reason"], "PoolFull");
    assert_eq!(world.status(&volume("boot"))["state"], "active");

    let capture = |host: &str, epoch, image| {
        Command::Capture(CaptureCommand { host: host.into(), volume: of, epoch, image, content: blob(1) })
    };
    for strange in [capture("h2", 1, to), capture("h1", 2, to), capture("h1", 1, of)] {
        refused(world.apply(strange), RefusalClass::Conflict, "not, or no longer, asked for");
    }
    assert_eq!(world.apply(capture("h1", 1, to)), Ok(Answer::Done));
    assert_eq!(world.history(&image("late")), "active creating pending");
    assert_eq!(content(&world, &image("late")), Some(blob(1)));
    refused(world.apply(capture("h1", 1, to)), RefusalClass::Conflict, "not, or no longer, asked for");
    world.created(&image("third"), image_of("boot", json!({})));
}

#[test]
fn a_copy_that_nobody_waits_for_any_more_is_called_off() {
    let mut world = World::with_instance();
    world.report("h1");
    world.created(&image("m"), image_of("boot", json!({})));
    world.delete(&instance("vm")).unwrap();
    world.report("h1");
    world.delete(&image("m")).unwrap();
    assert!(world.state.get(&image("m")).is_none());
    let desired = world.state.desired(world.get(&volume("boot")));
    assert!(
        matches!(&desired, Some(DesiredObject::Volume(volume)) if volume.capture.is_none()),
        "{desired:?}"
    );
    world.delete(&volume("boot")).unwrap();
}

/// Clients send the deletions of all they made, one after the other.
#[test]
fn a_volume_that_is_deleted_while_it_is_copied_goes_when_it_was() {
    let copied = |world: &mut World| {
        world.report("h1");
        world.created(&image("m"), image_of("boot", json!({})));
        world.delete(&instance("vm")).unwrap();
        world.report("h1");
        world.delete(&volume("boot")).unwrap();
        let status = world.status(&volume("boot"));
        assert_eq!(
            (&status["state"], &status["conditions"][0]["reason"]),
            (&json!("deleting"), &json!("InUse"))
        );
        refused(
            world.put(&image("n"), image_of("boot", json!({}))),
            RefusalClass::Invalid,
            "is being deleted",
        );
        // Whatever its host says meanwhile.
        world.report("h1");
        let desired = world.state.desired(world.get(&volume("boot")));
        assert!(
            matches!(&desired, Some(DesiredObject::Volume(volume)) if volume.present && volume.capture.is_some()),
            "{desired:?}"
        );
    };
    let mut world = World::with_instance();
    copied(&mut world);
    let (of, to) = (world.get(&volume("boot")).uid, world.get(&image("m")).uid);
    let capture = CaptureCommand { host: "h1".into(), volume: of, epoch: 1, image: to, content: blob(1) };
    assert_eq!(world.apply(Command::Capture(capture)), Ok(Answer::Done));
    assert_eq!(world.history(&image("m")), "active creating pending");
    world.report("h1");
    assert!(world.state.get(&volume("boot")).is_none(), "its host has removed it");

    let mut world = World::with_instance();
    copied(&mut world);
    world.delete(&image("m")).unwrap();
    world.report("h1");
    assert!(world.state.get(&volume("boot")).is_none(), "nobody waits for the copy any more");
}

#[test]
fn an_image_that_is_changed_while_it_is_copied_waits_for_its_copy_all_the_same() {
    let mut world = World::with_instance();
    world.report("h1");
    world.created(&image("m"), image_of("boot", json!({})));
    world.updated(&image("m"), image_of("boot", json!({"boot": "BIOS"})));
    assert_eq!(world.history(&image("m")), "creating pending");
    world.state.check();
}

#[test]
fn a_disk_that_a_guest_writes_to_is_not_copied() {
    let mut world = World::with_active_instance();
    world.power(&instance("vm"), PowerAction::Start).unwrap();
    refused(world.put(&image("m"), image_of("boot", json!({}))), RefusalClass::Conflict, "stop it first");
    world.report("h1");
    refused(world.put(&image("m"), image_of("boot", json!({}))), RefusalClass::Conflict, "stop it first");
    world.power(&instance("vm"), PowerAction::Stop).unwrap();
    refused(world.put(&image("m"), image_of("boot", json!({}))), RefusalClass::Conflict, "stop it first");
    world.report("h1");
    world.created(&image("m"), image_of("boot", json!({})));
    // Started before it was copied: the host waits for its end, and says so.
    world.power(&instance("vm"), PowerAction::Start).unwrap();
    let words = world.status(&image("m"))["conditions"][0]["message"].to_string();
    assert!(words.contains("is copied once") && words.contains("is off"), "{words}");
}

#[test]
fn growing_a_volume_is_work_for_its_host() {
    let mut world = World::with_active_instance();
    world.updated(&volume("boot"), volume_spec(5));
    let desired = world.state.desired(world.get(&volume("boot")));
    assert!(
        matches!(desired, Some(DesiredObject::Volume(volume)) if volume.generation == 2 && volume.size_bytes == 5 << 30)
    );
    // It has its new size once its host says so, whatever is asked for meanwhile.
    assert_eq!(world.status(&volume("boot"))["sizeGB"], 1);
    world.updated(&volume("boot"), volume_spec(6));
    assert_eq!(world.history(&volume("boot")), "updating active creating pending");
    assert_eq!(world.status(&volume("boot"))["conditions"][0]["reason"], "Growing");
    world.report("h1");
    assert_eq!(world.status(&volume("boot"))["sizeGB"], 6);
    assert_eq!(world.history(&volume("boot")), "active updating active creating pending");
    assert_eq!(world.history(&instance("vm")), "active creating pending", "nothing happened to its guest");
}

#[test]
fn disks_keep_their_slots_and_serials_when_others_come_and_go() {
    let mut world = World::with_active_instance();
    for name in ["d1", "d2", "d3"] {
        world.created(&volume(name), volume_spec(1));
    }
    let attach = |world: &mut World, names: &[&str]| {
        world.updated(&instance("vm"), instance_with("boot", data_volumes(names)));
        world.report("h1");
        slots(world)
    };
    let numbered = |slots: &[(String, u32, String)]| {
        slots.iter().map(|(name, slot, _)| format!("{name}={slot}")).collect::<Vec<_>>().join(" ")
    };
    let first = attach(&mut world, &["d1", "d2"]);
    assert_eq!(numbered(&first), "boot=0 d1=1 d2=2");
    assert!(first.iter().all(|(_, _, serial)| serial.len() == 20));
    let second = attach(&mut world, &["d3", "d2"]);
    assert_eq!(numbered(&second), "boot=0 d3=1 d2=2");
    assert_eq!(second[2], first[2]);
    assert_eq!(numbered(&attach(&mut world, &["d2", "d1", "d3"])), "boot=0 d2=2 d1=3 d3=1");
    assert_eq!(numbered(&attach(&mut world, &[])), "boot=0");
}

#[test]
fn a_running_guest_gains_volumes_and_loses_none() {
    let mut world = World::with_running_instance();
    world.created(&volume("data"), volume_spec(1));
    world.updated(&instance("vm"), instance_with("boot", data_volumes(&["data"])));
    world.report("h1");
    let detach = |world: &mut World| world.put(&instance("vm"), instance_spec("boot"));
    refused(
        detach(&mut world),
        RefusalClass::Conflict,
        "detached only while the instance is off; stop it first",
    );
    world.stop(&instance("vm")).unwrap();
    refused(detach(&mut world), RefusalClass::Conflict, "stop it first");
    world.report("h1");
    detach(&mut world).unwrap();
    world.report("h1");
    assert!(world.history(&instance("vm")).starts_with("active updating"));
    assert_eq!(slots(&world).len(), 1);
}

#[test]
fn hardware_is_allocated_once() {
    let mut world = World::with_active_instance();
    let before = world.detail(&instance("vm")).hardware.clone().unwrap();
    assert_eq!((before.machine.as_str(), before.cpu_model.as_str()), ("pc-q35-7.2", "Westmere"));
    assert_eq!((before.vcpus, before.memory_mib), (1, 1024));
    let mut emulated = host_report();
    emulated.virtualization.acceleration = Acceleration::Emulation;
    world.join("h1", "a", emulated);
    world.deleted(&Urn::tenant(Kind::InstanceSku, "public", "seca.dxs"));
    world.created(&Urn::tenant(Kind::InstanceSku, "public", "seca.dxs"), json!({"vCPU": 9, "ram": 9}));
    world.updated(&instance("vm"), instance_with("boot", json!({"userData": "#x"})));
    assert_eq!(world.detail(&instance("vm")).hardware, Some(before));
}

#[test]
fn sixty_four_data_volumes_and_no_more() {
    let mut world = World::with_active_instance();
    let names: Vec<String> = (0..65).map(|number| format!("d{number}")).collect();
    for name in &names {
        world.created(&volume(name), volume_spec(1));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let spec = |count: usize| instance_with("boot", data_volumes(&names[..count]));
    refused(world.put(&instance("vm"), spec(65)), RefusalClass::Invalid, "at most 64 volumes");
    world.updated(&instance("vm"), spec(64));
    assert_eq!(slots(&world).last().unwrap().1, 64);
}
