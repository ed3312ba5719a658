//! What other formats begin with. Not for finding out what a file is: for saying what it was by mistake, or by malice,
//! declared not to be.
//!
//! A disk that begins with one of these cannot boot and has no partition table, so no honest raw disk is refused. LUKS is
//! absent on purpose: a data disk encrypted by its owner begins with it.

/// Offset, bytes, and the format's name in words.
const SIGNATURES: &[(usize, &[u8], &str)] = &[
    (0, b"QFI\xfb", "a qcow2 image; declare it as qcow2"),
    (0, b"QED\0", "a QED image; convert it to qcow2 or raw"),
    (0, b"KDMV", "a VMDK image; convert it to qcow2 or raw"),
    (0, b"COWD", "a VMDK image; convert it to qcow2 or raw"),
    (0, b"# Disk DescriptorFile", "a VMDK descriptor; convert the disk to qcow2 or raw"),
    (0, b"conectix", "a VHD image; convert it to qcow2 or raw"),
    (0, b"vhdxfile", "a VHDX image; convert it to qcow2 or raw"),
    (64, b"\x7f\x10\xda\xbe", "a VDI image; convert it to qcow2 or raw"),
    (0, b"WithoutFreeSpace", "a Parallels image; convert it to qcow2 or raw"),
    (0, b"WithouFreSpacExt", "a Parallels image; convert it to qcow2 or raw"),
    (0, b"Bochs Virtual HD Image", "a Bochs image; convert it to qcow2 or raw"),
    (0, b"\x1f\x8b\x08", "a gzip file; decompress it first"),
    (0, b"\xfd7zXZ\0", "an xz file; decompress it first"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file; decompress it first"),
    (0, b"BZh", "a bzip2 file; decompress it first"),
    (0, b"PK\x03\x04", "a zip archive; unpack it first"),
    (257, b"ustar", "a tar archive; unpack it first"),
];

/// What a file begins as, if that is known and no disk.
pub(crate) fn of(window: &[u8]) -> Option<&'static str> {
    let begins = |(offset, bytes, _): &&(usize, &[u8], &str)| {
        window.get(*offset..).is_some_and(|rest| rest.starts_with(bytes))
    };
    SIGNATURES.iter().find(begins).map(|(_, _, name)| *name)
}
