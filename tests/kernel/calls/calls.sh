#!/bin/bash
# Runs in the guest, started by its systemd: units with the drop-ins that a bake wrote. Each line "ok NAME" or "not ok NAME"
# is a result.

export PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 raw -echo
systemctl start dbus.service
mkdir -p /run/systemd/system
perl -ne 'if (/^=== (.*)\/(.*)/) { mkdir "/run/systemd/system/$1"; open F, ">", "/run/systemd/system/$1/$2" or die }
	elsif (/^=== (.*)/) { open F, ">", "/run/systemd/system/$1" or die } else { print F $_ }' /kiln/units || exit 1
cp /kiln/calls /usr/bin/calls
systemctl daemon-reload

# check UNIT CALL=RESULT…
check() {
	local unit=$1 result wrong=
	shift
	systemctl start "$unit" || journalctl -q --no-pager -o cat -n 10 -u "$unit"
	for result in "$@"; do
		case " $(tr '\n' ' ' <"/run/out.$unit") " in
		*" $result "*) ;;
		*) wrong="$wrong $result" ;;
		esac
	done
	if [ -z "$wrong" ]; then echo "ok $unit"; else
		echo "not ok $unit:$wrong"
		tr '\n' ' ' <"/run/out.$unit"
		systemctl show -p SystemCallFilter -p SystemCallArchitectures -p SystemCallErrorNumber "$unit"
	fi
}
check free.service getuid=passes bind=passes mount=passes keyctl=passes bpf=passes swapon=passes uname=passes entry=passes
check plain.service getuid=passes bind=refused mount=refused keyctl=killed bpf=refused swapon=refused uname=passes \
	entry=killed x32=killed later=refused
check narrow.service getuid=passes bind=refused mount=killed keyctl=passes bpf=killed swapon=killed entry=killed
check refusing@a.service getuid=passes bind=passes mount=killed ptrace=passes swapon=refused bpf=refused
check open.service getuid=passes bind=passes mount=refused keyctl=killed bpf=refused swapon=passes entry=killed
check audit.service getuid=passes bind=passes mount=passes bpf=passes swapon=passes entry=passes
dmesg | grep -a 'type=1326' >/tmp/log
reported() { if grep -aq "comm=\"calls\".*syscall=$1 " /tmp/log; then echo "ok reported-$1"; else echo "not ok reported-$1"; fi; }
# mount(2), which audit permits; keyctl(2), which is killed.
reported 165
reported 250
if systemctl show -p NoNewPrivileges --value plain.service | grep -q no; then echo "ok privileges"; fi
echo calls-end
