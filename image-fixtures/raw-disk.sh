#!/bin/sh
# Makes a bootable raw disk from a root file system directory: a GPT with one ext4 root partition, nothing mounted.
#
#   image-fixtures/raw-disk.sh ROOT DISK [MIB]
#
# The kernel and its command line come from outside (`qemu -kernel`); the root is PARTLABEL=root. The same directory and
# SOURCE_DATE_EPOCH give the same bytes.
set -eu

root=${1:?raw-disk.sh ROOT DISK [MIB]}
disk=${2:?raw-disk.sh ROOT DISK [MIB]}
PATH=$PATH:/usr/sbin:/sbin

# Room for what a bake and a running machine add.
used=$(du -sm --apparent-size "$root" | cut -f1)
mib=${3:-$((used + used / 4 + 96))}
uuid=6f3c8d52-0f6e-4b53-a5c4-1f4d0c6b7a89
# Zero would mean the real time.
E2FSPROGS_FAKE_TIME=${SOURCE_DATE_EPOCH:-1}
[ "$E2FSPROGS_FAKE_TIME" != 0 ] || E2FSPROGS_FAKE_TIME=1
export E2FSPROGS_FAKE_TIME

new=$disk.new
trap 'rm -f "$new"' EXIT
rm -f "$new"
truncate -s "$((mib + 2))M" "$new"
sfdisk -q "$new" <<EOF
label: gpt
label-id: 0B2A6F9C-3D54-4B0B-8B5B-0A6D6D7A2C11
first-lba: 2048
start=2048, size=$((mib * 2048 - 2048)), type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, uuid=7C1D6C36-7E5F-4B2B-9C0D-3B7A5B0E9F10, name=root
EOF
mke2fs -q -F -t ext4 -U "$uuid" -L root -E "offset=1048576,hash_seed=$uuid,lazy_itable_init=0,lazy_journal_init=0" \
    -d "$root" "$new" "$((mib - 1))M"
mv "$new" "$disk"
