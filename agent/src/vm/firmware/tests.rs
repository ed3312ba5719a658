use super::*;

/// Writes a descriptor with existing images and returns what it should be found as.
fn descriptor(directory: &Path, name: &str, change: impl FnOnce(&mut serde_json::Value)) -> UefiImage {
    fs::create_dir_all(directory).unwrap();
    let image = UefiImage {
        code: directory.join(format!("{name}.code.fd")),
        variables_template: directory.join(format!("{name}.vars.fd")),
    };
    fs::write(&image.code, "").unwrap();
    fs::write(&image.variables_template, "").unwrap();
    let mut json = serde_json::json!({
        "description": "UEFI firmware for x86_64, without Secure Boot without SMM, with empty varstore",
        "interface-types": ["uefi"],
        "mapping": {
            "device": "flash",
            "executable": { "filename": image.code, "format": "raw" },
            "nvram-template": { "filename": image.variables_template, "format": "raw" }
        },
        "targets": [{ "architecture": "x86_64", "machines": ["pc-i440fx-*", "pc-q35-*"] }],
        "features": ["acpi-s3", "amd-sev", "verbose-dynamic"],
        "tags": []
    });
    change(&mut json);
    fs::write(directory.join(format!("{name}.json")), json.to_string()).unwrap();
    image
}

#[test]
fn the_first_fitting_descriptor_wins() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path();
    let wanted = descriptor(directory, "60-plain", |_| {});
    descriptor(directory, "70-later", |_| {});
    type Change = fn(&mut serde_json::Value);
    let misfits: [(&str, Change); 9] = [
        ("10-secure", |json| json["features"] = serde_json::json!(["secure-boot"])),
        ("11-enrolled", |json| json["features"] = serde_json::json!(["enrolled-keys"])),
        ("12-smm", |json| json["features"] = serde_json::json!(["requires-smm"])),
        ("13-bios", |json| json["interface-types"] = serde_json::json!(["bios"])),
        ("14-memory", |json| json["mapping"] = serde_json::json!({"device": "memory", "filename": "/x"})),
        ("15-qcow2", |json| json["mapping"]["executable"]["format"] = "qcow2".into()),
        ("16-stateless", |json| json["mapping"]["mode"] = "stateless".into()),
        ("17-arm", |json| json["targets"][0]["architecture"] = "aarch64".into()),
        ("18-missing", |json| json["mapping"]["executable"]["filename"] = "/nonexistent".into()),
    ];
    for (name, change) in misfits {
        descriptor(directory, name, change);
    }
    fs::write(directory.join("01-broken.json"), "{").unwrap();
    fs::write(directory.join("02-notes.txt"), "").unwrap();
    assert_eq!(find(&[directory]), Some(wanted));
}

#[test]
fn an_earlier_directory_hides_equal_names() {
    let root = tempfile::tempdir().unwrap();
    let (etc, usr) = (root.path().join("etc"), root.path().join("usr"));
    descriptor(&usr, "60-plain", |_| {});
    let ours = descriptor(&etc, "60-plain", |_| {});
    assert_eq!(find(&[&etc, &usr]), Some(ours));
    // The way to mask one.
    fs::write(etc.join("60-plain.json"), "").unwrap();
    assert_eq!(find(&[&etc, &usr]), None);
}

#[test]
fn no_directory_no_firmware() {
    assert_eq!(find(&[Path::new("/nonexistent")]), None);
}
