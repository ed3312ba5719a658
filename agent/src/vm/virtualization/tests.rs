//! Captured where the name says so: `cpuinfo-kvm-pvm.txt` and `capabilities-kvm.xml` are the development machine's
//! (which shows that libvirt does offer KVM there); the others are written after machines of their kind.

use super::*;

const KVM_PVM: &str = include_str!("../testdata/virtualization/cpuinfo-kvm-pvm.txt");
const INTEL: &str = include_str!("../testdata/virtualization/cpuinfo-intel.txt");
const NESTED_AMD: &str = include_str!("../testdata/virtualization/cpuinfo-nested-amd.txt");
const WITH_KVM: &str = include_str!("../testdata/virtualization/capabilities-kvm.xml");
const WITHOUT_KVM: &str = include_str!("../testdata/virtualization/capabilities-emulation-only.xml");

fn check(
    (cpuinfo, device, implementations, capabilities): (&str, KvmDevice, &[&str], &str),
    acceleration: Acceleration,
    reason: &str,
) {
    let facts = HostFacts {
        cpuinfo: cpuinfo.into(),
        device,
        implementations: implementations.iter().map(|&name| name.to_owned()).collect(),
        capabilities: capabilities.into(),
    };
    assert_eq!(decide(&facts), Verdict { acceleration, reason: reason.into() });
}

#[test]
fn a_real_machine() {
    check(
        (INTEL, KvmDevice::Opens, &["kvm_intel"], WITH_KVM),
        Acceleration::Kvm,
        "CPU flags have vmx, /dev/kvm exists (kvm_intel), libvirt offers KVM: guests run on the CPU",
    );
}

#[test]
fn a_nested_machine() {
    check(
        (NESTED_AMD, KvmDevice::Opens, &["kvm_amd"], WITH_KVM),
        Acceleration::Kvm,
        "CPU flags have svm, /dev/kvm exists (kvm_amd), libvirt offers KVM: guests run on the CPU (nested: this host \
         is a guest itself)",
    );
}

#[test]
fn a_kvm_that_ordinary_guests_hang_in() {
    check(
        (KVM_PVM, KvmDevice::Opens, &["kvm_pvm"], WITH_KVM),
        Acceleration::Emulation,
        "CPU flags lack vmx and svm; /dev/kvm exists (kvm_pvm): guests run emulated",
    );
}

#[test]
fn no_device() {
    check(
        (INTEL, KvmDevice::Missing, &[], WITHOUT_KVM),
        Acceleration::Emulation,
        "CPU flags have vmx, but /dev/kvm does not exist: load the kernel module kvm_intel: guests run emulated",
    );
    check(
        (KVM_PVM, KvmDevice::Missing, &[], WITHOUT_KVM),
        Acceleration::Emulation,
        "CPU flags lack vmx and svm; /dev/kvm does not exist: guests run emulated",
    );
}

#[test]
fn permission_denied() {
    check(
        (INTEL, KvmDevice::Refused("Permission denied (os error 13)".into()), &["kvm_intel"], WITHOUT_KVM),
        Acceleration::Emulation,
        "CPU flags have vmx, but /dev/kvm does not open (Permission denied (os error 13)): guests run emulated",
    );
}

#[test]
fn a_device_that_qemu_may_not_use() {
    check(
        (INTEL, KvmDevice::Opens, &["kvm_intel"], WITHOUT_KVM),
        Acceleration::Emulation,
        "CPU flags have vmx and /dev/kvm exists (kvm_intel), but libvirt does not offer KVM: QEMU's user needs access \
         to the device, and libvirtd a restart after it was given: guests run emulated",
    );
}

#[test]
fn kvm_for_another_architecture_is_not_kvm() {
    let foreign = WITH_KVM.replace("name='x86_64'", "name='riscv64'");
    assert!(offers_kvm(WITH_KVM).unwrap());
    assert!(!offers_kvm(&foreign).unwrap());
    assert!(!offers_kvm("<capabilities/>").unwrap());
}

#[test]
fn capabilities_that_are_none_mean_emulation() {
    let facts = HostFacts {
        cpuinfo: INTEL.into(),
        device: KvmDevice::Opens,
        implementations: Vec::new(),
        capabilities: "<capabilities><guest></capabilities>".into(),
    };
    assert_eq!(decide(&facts).acceleration, Acceleration::Emulation);
}

#[test]
fn flags_are_whole_words_of_the_right_line_on_every_cpu() {
    assert!(has_flag(INTEL, "vmx"));
    assert!(!has_flag(INTEL, "vm"));
    // It stands in "vmx flags" only.
    assert!(!has_flag(INTEL, "shadow_vmcs"));
    let one_without = INTEL.replacen(" vmx ", " ", 1);
    assert!(!has_flag(&one_without, "vmx"));
    assert!(!has_flag("", "vmx"));
}

#[test]
fn a_device_is_opened_for_real() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(KvmDevice::open(&directory.path().join("kvm")), KvmDevice::Missing);
    assert!(matches!(KvmDevice::open(directory.path()), KvmDevice::Refused(_)));
}
