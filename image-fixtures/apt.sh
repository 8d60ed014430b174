# Fetches single packages of Debian suites that this machine need not use. Sourced by kernels.sh and qemu.sh, which set
# $cache, and $refresh to `yes` to read the package lists again.
#
# The mirror is the one that this machine's own apt sources name. Lists and packages go to a private apt
# directory; the machine's apt configuration, lists and installed packages stay as they are. Packages are
# verified by apt against the Debian archive keyring.

apt_dir=$cache/apt
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

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
		echo "apt.sh: this machine's apt sources name no Debian archive; add one and run 'apt-get update'" >&2
		exit 1
	}
	printf '%s\n' "$uri"
}

# prepare_apt SUITE...: reads the package lists of these suites, once. The variables of who sources this are not touched,
# but `missing`, `listed` and `archive`.
prepare_apt() {
	missing=
	for listed; do
		[ -f "$apt_dir/ready-$listed" ] && [ "$refresh" = no ] || missing="$missing $listed"
	done
	[ -n "$missing" ] || return 0
	mkdir -p "$apt_dir/sources.d" "$apt_dir/state" "$apt_dir/lists/partial" "$apt_dir/cache/archives/partial"
	: >"$apt_dir/status"
	rm -f "$apt_dir/sources.d/kiln.sources" "$apt_dir/ready"
	archive=$(mirror)
	for listed in $missing; do
		cat >"$apt_dir/sources.d/$listed.sources" <<-SOURCES
			Types: deb
			URIs: $archive
			Suites: $listed
			Components: main
			Signed-By: $keyring
		SOURCES
	done
	echo "apt.sh: reading the package lists of$missing" >&2
	private_apt apt-get update >&2 || {
		for listed in $missing; do rm -f "$apt_dir/sources.d/$listed.sources"; done
		return 1
	}
	for listed in $missing; do : >"$apt_dir/ready-$listed"; done
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

