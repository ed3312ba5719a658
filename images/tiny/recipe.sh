# How images/build makes "tiny": the kernel of Debian's cloud flavour, an initramfs of busybox and jq, one disk. Read by
# images/build, which has fail, write_at and the cache. Needs root for nothing but apt-get update.
# shellcheck shell=bash

KERNEL_META_PACKAGE="linux-image-cloud-amd64"
# The packages whose content or working shapes the image: their versions are part of the key.
INPUT_PACKAGES=(busybox-static jq libjq1 libonig5 libc6 grub-common grub-pc-bin grub-efi-amd64-bin
    mtools dosfstools cpio zstd kmod fdisk qemu-utils)

# Modules of the cloud kernel the guest needs (all else it needs is built in); what they depend on is added.
MODULES=(virtio_pci virtio_blk virtio_net virtio_console virtio-rng button evdev
    vfat nls_cp437 nls_ascii nls_iso8859-1 nls_utf8 isofs)

# The kernel would test its cryptography at every boot, which is more than a third of its time under emulation.
CMDLINE="console=ttyS0 quiet panic=10 cryptomgr.notests"

ESP_MIB=28     # holds both GRUBs' files: kernel and initramfs
COUNTER_MIB=1  # last partition: the boot counter, raw text
DISK_MIB=$((1 + ESP_MIB + COUNTER_MIB))

# --- inputs -------------------------------------------------------------------------------------------------------

# The name and version of the package that holds the kernel, as "name=version"; empty if apt knows none.
kernel_package() {
    local name version
    name=$(apt-cache depends --no-recommends "$KERNEL_META_PACKAGE" 2>/dev/null | awk '$1 == "Depends:" { print $2; exit }')
    [[ -n "$name" ]] || return 0
    version=$(apt-cache policy "$name" | awk '$1 == "Candidate:" { print $2 }')
    printf '%s=%s\n' "$name" "$version"
}

# Prints what goes into the image, with versions.
resolve_inputs() {
    local kernel
    kernel=$(kernel_package)
    if [[ -z "$kernel" ]]; then
        apt-get -qq update >&2 || fail "apt knows no $KERNEL_META_PACKAGE and 'apt-get update' failed." \
            "Check the network and /etc/apt/sources.list*, then run this again."
        kernel=$(kernel_package)
    fi
    [[ -n "$kernel" ]] || fail "apt knows no package $KERNEL_META_PACKAGE." \
        "This needs Debian 12's main section for amd64 in /etc/apt/sources.list*."
    printf '%s\n' "$kernel"
}

# --- kernel and initramfs -----------------------------------------------------------------------------------------

fetch_kernel() {
    local kernel=$1 work=$2
    mkdir -p "$work/deb" "$work/kernel"
    # The package lists may name a version the mirror has replaced since: ask for fresh ones once.
    if ! (cd "$work/deb" && apt-get -qq download "$kernel" 2>"$work/apt.log"); then
        apt-get -qq update >&2 || true
        kernel=$(resolve_inputs)
        (cd "$work/deb" && apt-get -qq download "$kernel" 2>"$work/apt.log") ||
            fail "could not download $kernel: $(tail -n 1 "$work/apt.log")" "Check the network, then run this again."
    fi
    dpkg-deb -x "$work"/deb/*.deb "$work/kernel"
}

# Copies the modules and what they depend on, and lists them in the order in which insmod must take them.
install_modules() {
    local work=$1 root=$2 release module
    release=$(basename "$work"/kernel/lib/modules/*)
    depmod -b "$work/kernel" "$release"
    mkdir -p "$root/modules"
    for module in "${MODULES[@]}"; do
        modprobe -d "$work/kernel" -S "$release" --show-depends "$module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$work/modules"
    while read -r module; do
        cp "$module" "$root/modules/"
        basename "$module"
    done <"$work/modules" >"$root/modules/order"
}

install_jq() {
    local root=$1 file
    cp /usr/bin/jq "$root/bin/jq"
    # Its libraries and loader, at the very paths the loader looks at.
    ldd /usr/bin/jq | awk '/ => \// { print $3 } $1 ~ /^\// { print $1 }' | while read -r file; do
        mkdir -p "$root/${file%/*}"
        cp -L "$file" "$root/$file"
    done
}

install_busybox() {
    local root=$1 applet
    cp /bin/busybox "$root/bin/busybox"
    /bin/busybox --list | while read -r applet; do
        [[ "$applet" == busybox || -e "$root/bin/$applet" ]] || ln -s busybox "$root/bin/$applet"
    done
}

make_initramfs() {
    local work=$1 root=$1/root
    mkdir -p "$root"/{bin,dev,etc,proc,run,sys,tmp}
    install_modules "$work" "$root"
    install_jq "$root"
    install -m 0755 "$HERE/tiny/init" "$root/init"
    install -m 0755 "$HERE/tiny/tiny-devices" "$root/bin/tiny-devices"
    install -m 0644 "$HERE/tiny/seed.jq" "$root/seed.jq"
    install_busybox "$root"
    # The same input gives the same bytes: fixed times, order, owners and inode numbers.
    find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    (cd "$root" && find . -print0 | sort -z | cpio --quiet -o -0 -H newc --reproducible -R 0:0) |
        zstd -q -19 -o "$work/initrd"
}

# --- the disk -----------------------------------------------------------------------------------------------------

grub_config() {
    local linux=$1 initrd=$2
    sed "/^#/d; s|@LINUX@|$linux|; s|@INITRD@|$initrd|; s|@CMDLINE@|$CMDLINE|" "$HERE/tiny/grub.cfg"
}

# The EFI system partition. UEFI starts EFI/BOOT/BOOTX64.EFI; the GRUB in the MBR gap reads the same two files.
make_esp() {
    local work=$1 esp=$1/esp.img
    grub_config linux initrd >"$work/grub-uefi.cfg"
    grub-mkimage -O x86_64-efi -c "$work/grub-uefi.cfg" -p /grub -o "$work/bootx64.efi" \
        part_msdos fat terminal serial linux
    truncate -s "${ESP_MIB}M" "$esp"
    mkfs.vfat --invariant -n TINY "$esp" >/dev/null
    touch -d "@$SOURCE_DATE_EPOCH" "$work/bootx64.efi" "$work/initrd"
    mmd -i "$esp" ::/EFI ::/EFI/BOOT
    mcopy -m -i "$esp" "$work/bootx64.efi" ::/EFI/BOOT/BOOTX64.EFI
    mcopy -m -i "$esp" "$work"/kernel/boot/vmlinuz-* ::/vmlinuz
    mcopy -m -i "$esp" "$work/initrd" ::/initrd
}

# An MBR partition table: both firmwares read it, and GRUB's BIOS half fits the gap before the first partition.
make_disk() {
    local work=$1 disk=$1/disk.img counter_start
    counter_start=$(((1 + ESP_MIB) * SECTORS_PER_MIB))
    truncate -s "${DISK_MIB}M" "$disk"
    sfdisk --quiet --no-reread --no-tell-kernel "$disk" <<TABLE
label: dos
label-id: 0x72656d70
start=$SECTORS_PER_MIB, size=$((ESP_MIB * SECTORS_PER_MIB)), type=ef, bootable
start=$counter_start, size=$((COUNTER_MIB * SECTORS_PER_MIB)), type=da
TABLE
    write_at "$disk" $SECTORS_PER_MIB "$work/esp.img"
    printf 'tiny-boots 0\n' >"$work/counter"
    write_at "$disk" "$counter_start" "$work/counter"
    install_bios_grub "$work" "$disk"
}

# boot.img as built loads the core image from sector 1 on, and grub-mkimage writes into the core image how long it is:
# so installing GRUB is two copies. The first 440 bytes of sector 0 are code, the rest is the partition table.
install_bios_grub() {
    local work=$1 disk=$2
    # The 16-bit boot protocol: the 32-bit one spends 2 s on a graphics card that is not there.
    grub_config linux16 initrd16 >"$work/grub-bios.cfg"
    grub-mkimage -O i386-pc -c "$work/grub-bios.cfg" -p '(,msdos1)/grub' -o "$work/core.img" \
        biosdisk part_msdos fat terminal serial linux16
    (($(stat -c %s "$work/core.img") <= (SECTORS_PER_MIB - 1) * 512)) || fail "GRUB's core image is too large for the MBR gap."
    head -c 440 /usr/lib/grub/i386-pc/boot.img >"$work/boot.img"
    write_at "$disk" 0 "$work/boot.img"
    write_at "$disk" 1 "$work/core.img"
}

make_image() {
    local work=$1 kernel=$2
    fetch_kernel "$kernel" "$work"
    make_initramfs "$work"
    make_esp "$work"
    make_disk "$work"
    qemu-img convert -q -f raw -O qcow2 -o compat=1.1,cluster_size=65536 "$work/disk.img" "$work/image.qcow2"
}
