#!/bin/sh
# Builds the Debian root file system that the examples and the VM tests use: systemd as init, a cloud kernel with BTF,
# nginx from packages, nothing configured by hand. It is kept, so only the first run of a suite takes time.
#
#   image-fixtures/rootfs.sh [bookworm|trixie [PACKAGE]...]     prints the directory
#
# Further packages make a tree of their own beside the plain one.
#
# KILN_CACHE  where it is kept (default: .cache beside this directory)
# KILN_MIRROR the Debian mirror (default: the one this machine's apt uses, which must have one)
set -eu

suite=${1:-bookworm}
[ $# -eq 0 ] || shift
case $suite in
bookworm | trixie) ;;
*)
    echo "rootfs.sh: unknown suite '$suite'; known are bookworm and trixie" >&2
    exit 2
    ;;
esac

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache=${KILN_CACHE:-$here/../.cache}
mkdir -p "$cache"
cache=$(CDPATH='' cd -- "$cache" && pwd)
root=$cache/rootfs-$suite

packages=systemd,systemd-sysv,dbus,udev,kmod,linux-image-cloud-amd64,nginx-light,iproute2,procps,netbase
# nginx-light is a transitional name from trixie on.
[ "$suite" = bookworm ] || packages=$(echo "$packages" | sed 's/nginx-light/nginx/')
for package; do
    case $package in *[!a-z0-9.+-]* | -*)
        echo "rootfs.sh: '$package' is not the name of a package" >&2
        exit 2
        ;;
    esac
    root=$root-$package
    packages=$packages,$package
done

# What went in; a change of this script or of the list makes a new tree.
stamp=$( (cat "$here/rootfs.sh"; echo "$suite $packages") | sha256sum | cut -d' ' -f1)
if [ "$(cat "$root.stamp" 2>/dev/null)" = "$stamp" ]; then
    echo "$root"
    exit 0
fi

for tool in mmdebstrap flock; do
    command -v "$tool" >/dev/null || {
        echo "rootfs.sh: '$tool' is missing; install it with: apt-get install mmdebstrap util-linux" >&2
        exit 2
    }
done
if [ "$(id -u)" != 0 ]; then
    echo "rootfs.sh: needs root, because the tree keeps its owners and modes" >&2
    exit 2
fi

# Two callers at once: the second waits and then finds the tree.
exec 9>"$root.lock"
flock 9
if [ "$(cat "$root.stamp" 2>/dev/null)" = "$stamp" ]; then
    echo "$root"
    exit 0
fi

mirror=${KILN_MIRROR:-$(apt-get indextargets --format '$(COMPONENT) $(REPO_URI)' 2>/dev/null |
    awk '$1 == "main" && $2 !~ /security/ { sub(/\/$/, "", $2); print $2; exit }')}
[ -n "$mirror" ] || { echo "rootfs.sh: no Debian mirror in this machine's apt sources: set KILN_MIRROR" >&2 && exit 2; }
security=$(apt-get indextargets --format '$(COMPONENT) $(REPO_URI)' 2>/dev/null |
    awk '$1 == "main" && $2 ~ /security/ { sub(/\/$/, "", $2); print $2; exit }')
security=${security:-${mirror%/}-security}

new=$root.new
rm -rf "$new"
echo "rootfs.sh: building $suite from $mirror (about a minute; log in $root.log)" >&2
# /var/lib/apt and the caches hold nothing that a running image needs; dpkg's database stays, derivation reads it.
if ! mmdebstrap --mode=root --variant=minbase --format=directory --include="$packages" \
    --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/boot/initrd.img*' \
    --customize-hook='echo kiln >"$1"/etc/hostname' \
    "$suite" "$new" \
    "deb $mirror $suite main" "deb $mirror $suite-updates main" "deb $security $suite-security main" \
    >"$root.log" 2>&1; then
    tail -n 20 "$root.log" >&2
    echo "rootfs.sh: mmdebstrap failed; the whole log is $root.log" >&2
    rm -rf "$new"
    exit 1
fi

rm -rf "$root"
mv "$new" "$root"
echo "$stamp" >"$root.stamp"
echo "$root"
