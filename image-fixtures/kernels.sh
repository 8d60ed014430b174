#!/bin/sh
# Fetches the Debian cloud kernels that the kernel tests boot, and a static busybox for their initrds.
#
#   image-fixtures/kernels.sh [--refresh] [6.1|6.12]...      (default: both)
#   image-fixtures/kernels.sh --tests 6.1|6.12      the kernel's own tests of Landlock, as source; prints where
#
# Result, kept from run to run in $KILN_CACHE (default: .cache in the repository):
#   kernels/VERSION/{vmlinuz,config,release,modules/,package}     busybox
#   tests/VERSION/{tools,include}: of Debian's linux-source package what those tests need
# Where the packages come from: apt.sh.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${KILN_CACHE:-$here/../.cache}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
. "$here/apt.sh"

refresh=no tests=no
wanted=
for argument; do
	case $argument in
	--refresh) refresh=yes ;;
	--tests) tests=yes ;;
	6.1 | 6.12) wanted="$wanted $argument" ;;
	*)
		echo "kernels.sh: unknown argument '$argument'; use --refresh, --tests, 6.1, 6.12" >&2
		exit 2
		;;
	esac
done
wanted=${wanted:-6.1 6.12}

# One fetch at a time; a second caller then finds everything there. qemu.sh takes the same lock.
exec 9>"$cache/apt.lock"
flock 9

fetch_kernel() {
	version=$1
	suite=bookworm
	[ "$version" = 6.12 ] && suite=trixie
	target=$cache/kernels/$version
	[ -f "$target/vmlinuz" ] && [ "$refresh" = no ] && return
	prepare_apt bookworm trixie
	# The package without a version names the current image as its dependency.
	image=$(private_apt apt-cache show "linux-image-cloud-amd64/$suite" |
		sed -n "s/^Depends: \(linux-image-$(echo "$version" | sed 's/\./\\./')\.[^ ,]*\).*/\1/p" | head -n 1)
	[ -n "$image" ] || {
		echo "kernels.sh: $suite has no linux-image-cloud-amd64 of version $version" >&2
		exit 1
	}
	unpacked=$cache/kernels/.$version.new
	mkdir -p "$cache/kernels"
	fetch "$image" "$unpacked"
	release=$(basename "$unpacked"/boot/vmlinuz-* | sed 's/^vmlinuz-//')
	mv "$unpacked/boot/vmlinuz-$release" "$unpacked/vmlinuz"
	mv "$unpacked/boot/config-$release" "$unpacked/config"
	for modules in "$unpacked/usr/lib/modules/$release" "$unpacked/lib/modules/$release"; do
		[ -d "$modules" ] && mv "$modules" "$unpacked/modules"
	done
	printf '%s\n' "$release" >"$unpacked/release"
	rm -rf "$unpacked/boot" "$unpacked/usr" "$unpacked/lib" "$target"
	mv "$unpacked" "$target"
	echo "kernels.sh: $version is $release" >&2
}

fetch_busybox() {
	[ -x "$cache/busybox" ] && [ "$refresh" = no ] && return
	prepare_apt bookworm trixie
	fetch busybox-static/bookworm "$cache/.busybox.new"
	find "$cache/.busybox.new" -name busybox -type f -exec mv {} "$cache/busybox" \;
	rm -rf "$cache/.busybox.new"
	[ -x "$cache/busybox" ] || {
		echo "kernels.sh: busybox-static holds no busybox" >&2
		exit 1
	}
}

# Of 1.4 GB of source some hundred KB.
fetch_tests() {
	version=$1
	suite=bookworm
	[ "$version" = 6.12 ] && suite=trixie
	target=$cache/tests/$version
	[ -d "$target" ] && [ "$refresh" = no ] && return
	prepare_apt bookworm trixie
	unpacked=$cache/tests/.$version.new
	fetch "linux-source-$version/$suite" "$unpacked"
	echo "kernels.sh: unpacking the tests of $version" >&2
	tar -C "$unpacked" -xJf "$unpacked/usr/src/linux-source-$version.tar.xz" --strip-components=1 --wildcards \
		'*/tools/testing/selftests/landlock' '*/tools/testing/selftests/kselftest*.h' \
		'*/include/uapi/linux/landlock.h' '*/include/uapi/linux/fs.h'
	rm -rf "$unpacked/usr" "$target"
	mv "$unpacked" "$target"
}

if [ "$tests" = yes ]; then
	for version in $wanted; do
		fetch_tests "$version"
		echo "$cache/tests/$version"
	done
	exit 0
fi
for version in $wanted; do
	fetch_kernel "$version"
done
fetch_busybox
