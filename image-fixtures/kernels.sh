#!/bin/sh
# Fetches the Debian cloud kernels that the kernel tests boot, and a static busybox for their initrds.
#
#   image-fixtures/kernels.sh [--refresh] [6.1|6.12]...      (default: both)
#   image-fixtures/kernels.sh --tests 6.1|6.12      the kernel's own tests of Landlock, as source; prints where
#
# Result, kept from run to run in $KILN_CACHE (default: .cache in the repository):
#   kernels/VERSION/{vmlinuz,config,release,modules/,package}     busybox
#   tests/VERSION/{tools,include}: of Debian's linux-source package what those tests need
# The mirror is the one that this machine's own apt sources name. Lists and packages go to a private apt
# directory; the machine's apt configuration, lists and installed packages stay as they are. Packages are
# verified by apt against the Debian archive keyring.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${KILN_CACHE:-$here/../.cache}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
apt_dir=$cache/apt
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

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

# One fetch at a time; a second caller then finds everything there.
exec 9>"$cache/kernels.lock"
flock 9

private_apt() {
	command=$1
	shift
	"$command" -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$apt_dir/sources.d" \
		-o Dir::State="$apt_dir/state" -o Dir::State::Lists="$apt_dir/lists" -o Dir::State::status="$apt_dir/status" \
		-o Dir::Cache="$apt_dir/cache" -o APT::Sandbox::User=root -o APT::Architecture=amd64 -o APT::Architectures=amd64 \
		-o Acquire::Languages=none -q "$@"
}

# The repository of the machine's own sources that holds Debian's main archive.
mirror() {
	uri=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
	# Sources whose lists were never fetched have no Origin yet; their suite's name tells.
	[ -n "$uri" ] || uri=$(apt-get indextargets --no-release-info --format '$(RELEASE) $(REPO_URI)' 'Identifier: Packages' |
		sed -n 's/^\(bookworm\|trixie\) //p' | head -n 1)
	[ -n "$uri" ] || {
		echo "kernels.sh: this machine's apt sources name no Debian archive; add one and run 'apt-get update'" >&2
		exit 1
	}
	printf '%s\n' "$uri"
}

prepare_apt() {
	[ -f "$apt_dir/ready" ] && [ "$refresh" = no ] && return
	mkdir -p "$apt_dir/sources.d" "$apt_dir/state" "$apt_dir/lists/partial" "$apt_dir/cache/archives/partial"
	: >"$apt_dir/status"
	archive=$(mirror)
	cat >"$apt_dir/sources.d/kiln.sources" <<-SOURCES
		Types: deb
		URIs: $archive
		Suites: bookworm trixie
		Components: main
		Signed-By: $keyring
	SOURCES
	echo "kernels.sh: reading the package lists of bookworm and trixie" >&2
	private_apt apt-get update >&2
	: >"$apt_dir/ready"
}

# fetch PACKAGE DIRECTORY: downloads one package of the private lists and unpacks it.
fetch() {
	rm -f "$apt_dir"/*.deb
	(cd "$apt_dir" && private_apt apt-get download "$1" >&2)
	rm -rf "$2"
	mkdir -p "$2"
	dpkg-deb -x "$apt_dir"/*.deb "$2"
	basename "$apt_dir"/*.deb >"$2/package"
	rm -f "$apt_dir"/*.deb
}

fetch_kernel() {
	version=$1
	suite=bookworm
	[ "$version" = 6.12 ] && suite=trixie
	target=$cache/kernels/$version
	[ -f "$target/vmlinuz" ] && [ "$refresh" = no ] && return
	prepare_apt
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
	prepare_apt
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
	prepare_apt
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
