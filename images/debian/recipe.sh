# How images/build makes "debian": Debian of this machine's release, with cloud-init and SSH, that boots with UEFI and
# BIOS. Read by images/build. Needs root, because the packages' own scripts run in a chroot (mmdebstrap).
# shellcheck shell=bash

INPUT_PACKAGES=(mmdebstrap e2fsprogs mtools dosfstools fdisk grub-common grub-efi-amd64-bin grub-pc-bin qemu-utils)

# What is in the image beside Debian's minimal base; apt adds what they depend on.
PACKAGES=(
    linux-image-cloud-amd64 initramfs-tools zstd e2fsprogs
    systemd-sysv dbus udev kmod procps
    cloud-init cloud-guest-utils fdisk
    openssh-server sudo
    iproute2 iputils-ping systemd-resolved netbase ca-certificates
    less nano
)

# Rempart's guests find their boot disk first; the file system is named by its UUID all the same, so that the image
# boots from other buses, too. The kernel's self tests of its cryptography take a second under emulation.
CMDLINE="ro console=tty0 console=ttyS0,115200 quiet cryptomgr.notests"

BIOS_MIB=1  # GRUB's core image for BIOS
ESP_MIB=4   # GRUB for UEFI
SPARE_MIB=300

# --- inputs -------------------------------------------------------------------------------------------------------

# The machine's own sources of its Debian release, one line each, whatever form they have in /etc/apt.
sources() {
    local codename
    codename=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
    apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' \
        'Architecture: amd64' 2>/dev/null |
        awk -v codename="$codename" '$1 == "Debian" && ($2 == codename || index($2, codename "-") == 1) &&
            $2 !~ /-backports/ { print "deb [arch=amd64]", $3, $4, $5 }' | sort -u
}

# Every package of the image as "name=version", as apt resolves it for a machine that has nothing.
packages() {
    apt-get -s -o Dir::State::status=/dev/null -o APT::Default-Release= --no-install-recommends install \
        "${PACKAGES[@]}" '?essential' '?priority(required)' 2>/dev/null |
        sed -nE 's/^Inst ([^ ]+) \(([^ ]+) .*/\1=\2/p' | sort
}

resolve_inputs() {
    local resolved
    resolved=$(packages)
    if [[ -z "$resolved" || -z "$(sources)" ]]; then
        apt-get -qq update >&2 || fail "apt has no package lists and 'apt-get update' failed." \
            "Check the network and /etc/apt/sources.list*, then run this again."
        resolved=$(packages)
    fi
    [[ -n "$resolved" ]] || fail "apt cannot resolve the packages of the image: ${PACKAGES[*]}" \
        "This needs Debian 12's main section for amd64 in /etc/apt/sources.list*."
    printf '%s\n' "$resolved"
}

# --- the root file system -----------------------------------------------------------------------------------------

make_root() {
    local work=$1 list
    list=$(IFS=,; printf '%s' "${PACKAGES[*]}")
    sources >"$work/sources.list"
    # Times stay as they are: Python takes its compiled files for current by the time of their source.
    env -u SOURCE_DATE_EPOCH mmdebstrap --quiet --mode=root --variant=minbase --include="$list" \
        --setup-hook="$HERE/debian/prepare \"\$1\"" --customize-hook="$HERE/debian/customize \"\$1\"" \
        "$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")" "$work/root" "$work/sources.list" \
        >"$work/mmdebstrap.log" 2>&1 </dev/null ||
        fail "mmdebstrap failed; the end of $work/mmdebstrap.log:" "$(tail -n 15 "$work/mmdebstrap.log")"
}

# An ext4 made from the directory: no mount. It may grow to any size while it is mounted.
make_root_partition() {
    local work=$1 uuid=$2 used_mib
    printf 'UUID=%s / ext4 defaults,errors=remount-ro 0 1\n' "$uuid" >"$work/root/etc/fstab"
    mkdir -p "$work/root/boot/grub"
    sed "s|@UUID@|$uuid|; s|@CMDLINE@|$CMDLINE|" "$HERE/debian/grub.cfg" >"$work/root/boot/grub/grub.cfg"
    used_mib=$(du -sm --apparent-size "$work/root" | cut -f 1)
    ROOT_MIB=$((used_mib * 11 / 10 + SPARE_MIB))
    truncate -s "${ROOT_MIB}M" "$work/root.img"
    mke2fs -q -t ext4 -L debian -U "$uuid" -m 1 -J size=16 -E assume_storage_prezeroed=1 -d "$work/root" "$work/root.img"
}

# --- the disk -----------------------------------------------------------------------------------------------------

# Both GRUBs find the root on the disk they came from, and go on with its /boot/grub/grub.cfg.
GRUB_MODULES=(part_gpt ext2 linux normal configfile regexp test echo serial terminal gzio sleep ls cat)

make_esp() {
    local work=$1 esp=$1/esp.img
    grub-mkimage -O x86_64-efi -c "$HERE/debian/grub-early.cfg" -p /boot/grub -o "$work/bootx64.efi" \
        "${GRUB_MODULES[@]}" fat efi_gop all_video
    truncate -s "${ESP_MIB}M" "$esp"
    mkfs.vfat -n ESP "$esp" >/dev/null
    mmd -i "$esp" ::/EFI ::/EFI/BOOT
    mcopy -i "$esp" "$work/bootx64.efi" ::/EFI/BOOT/BOOTX64.EFI
}

# A GPT, so that the root can grow beyond 2 TiB; the root comes last, so that it can grow at all.
make_disk() {
    local work=$1 disk=$1/disk.img bios esp root
    bios=$SECTORS_PER_MIB
    esp=$((bios + BIOS_MIB * SECTORS_PER_MIB))
    root=$((esp + ESP_MIB * SECTORS_PER_MIB))
    truncate -s $((1 + BIOS_MIB + ESP_MIB + ROOT_MIB + 1))M "$disk"
    sfdisk --quiet --no-reread --no-tell-kernel "$disk" <<TABLE
label: gpt
start=$bios, size=$((BIOS_MIB * SECTORS_PER_MIB)), type=21686148-6449-6E6F-744E-656564454649, name=bios
start=$esp, size=$((ESP_MIB * SECTORS_PER_MIB)), type=U, name=esp
start=$root, size=$((ROOT_MIB * SECTORS_PER_MIB)), type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=root
TABLE
    write_at "$disk" "$esp" "$work/esp.img"
    write_at "$disk" "$root" "$work/root.img"
    install_bios_grub "$work" "$disk" "$bios"
}

# What grub-bios-setup does, which wants a block device: the sector of the core image goes into boot.img (at 0x5c),
# and into the last but one entry of the core image's own first sector, which says where its rest lies.
install_bios_grub() {
    local work=$1 disk=$2 sector=$3
    grub-mkimage -O i386-pc -c "$HERE/debian/grub-early.cfg" -p /boot/grub -o "$work/core.img" \
        "${GRUB_MODULES[@]}" biosdisk
    (($(stat -c %s "$work/core.img") <= BIOS_MIB << 20)) || fail "GRUB's core image is larger than its partition."
    head -c 440 /usr/lib/grub/i386-pc/boot.img >"$work/boot.img"
    little_endian "$sector" | dd of="$work/boot.img" bs=1 seek=$((0x5c)) conv=notrunc status=none
    little_endian $((sector + 1)) | dd of="$work/core.img" bs=1 seek=$((512 - 12)) conv=notrunc status=none
    write_at "$disk" 0 "$work/boot.img"
    write_at "$disk" "$sector" "$work/core.img"
}

# A number as eight bytes.
little_endian() {
    local number=$1 byte
    for byte in 1 2 3 4 5 6 7 8; do
        printf '%b' "\\x$(printf '%02x' $((number & 255)))"
        number=$((number >> 8))
    done
}

make_image() {
    local work=$1
    ((EUID == 0)) || fail "the image 'debian' needs root: its packages' scripts run in a chroot." "Run it again with sudo."
    make_root "$work"
    make_root_partition "$work" "$(</proc/sys/kernel/random/uuid)"
    make_esp "$work"
    make_disk "$work"
    rm -rf "$work/root"
    qemu-img convert -q -c -f raw -O qcow2 -o compat=1.1,cluster_size=65536 "$work/disk.img" "$work/image.qcow2"
}
