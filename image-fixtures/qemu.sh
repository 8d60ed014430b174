#!/bin/sh
# Prints the program that runs guests of several CPUs: this machine's QEMU from 8.1 on, else that of Debian's backports.
#
# Before 8.1 one CPU may go on with the translation of an instruction that another is just changing. The kernel changes
# instructions whenever BPF programs are attached, and a guest then hangs at a breakpoint that is no longer there.
#
# What is fetched is kept in $KILN_CACHE/qemu (default: .cache in the repository); see apt.sh.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${KILN_CACHE:-$here/../.cache}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
refresh=no

installed=$(qemu-system-x86_64 --version | sed -n 's/^QEMU emulator version \([0-9]*\.[0-9]*\).*/\1/p')
if dpkg --compare-versions "${installed:-0}" ge 8.1; then
	command -v qemu-system-x86_64
	exit 0
fi

program=$cache/qemu/qemu-system-x86_64
exec 9>"$cache/apt.lock"
flock 9
newer() {
	prepare_apt bookworm-backports || return 1
	rm -rf "$cache/.qemu.new"
	mkdir "$cache/.qemu.new"
	for package in qemu-system-x86 qemu-system-common qemu-system-data seabios; do
		fetch "$package/bookworm-backports" "$cache/.qemu.new/$package" || return 1
	done
	cat >"$cache/.qemu.new/qemu-system-x86_64" <<-'PROGRAM'
		#!/bin/sh
		here=$(dirname "$0")
		exec "$here/qemu-system-x86/usr/bin/qemu-system-x86_64" -L "$here/qemu-system-data/usr/share/qemu" \
			-L "$here/seabios/usr/share/seabios" -L /usr/share/qemu "$@"
	PROGRAM
	chmod 755 "$cache/.qemu.new/qemu-system-x86_64"
	"$cache/.qemu.new/qemu-system-x86_64" --version >&2 || return 1
	rm -rf "$cache/qemu"
	mv "$cache/.qemu.new" "$cache/qemu"
}
if [ ! -x "$program" ]; then
	. "$here/apt.sh"
	echo "qemu.sh: this machine's QEMU is $installed; fetching a newer one" >&2
	newer || {
		echo "qemu.sh: cannot get it from bookworm-backports; a guest of several CPUs may hang now and then" >&2
		program=$(command -v qemu-system-x86_64)
	}
fi
echo "$program"
