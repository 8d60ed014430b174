#!/bin/bash
# Runs in the guest, started by its systemd: the gate against real units. Each line "ok NAME" or "not ok NAME" is a result.

export PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 raw -echo
host=$(uname -n)
kept=/var/quarantine/test
# What runs from the kernel's command line runs before the bus is needed by anybody.
systemctl start dbus.service

check() {
	name=$1
	shift
	if "$@"; then echo "ok $name"; else echo "not ok $name: $*"; fi
}
is() { [ "$1" = "$2" ] || { echo "found '$1', wanted '$2'"; false; }; }
property() { systemctl show -p "$2" --value "$1"; }
main_pid() { property "$1" MainPID; }
# Start of a process in nanoseconds after boot: field 22 of stat, in hundredths of a second.
start_of() { sed 's/.*) //' "/proc/$1/stat" | awk '{ printf "%s0000000", $20 }'; }

# event PID START SEVERITY ACTION VERB OBJECT: a violation of Kiln's own.
event() {
	printf '{"schema":"kiln.violation.v1","hostname":"%s","time":"%s","verdict":"denied","rule":"x","verb":"%s","object":"%s","severity":"%s","action":"%s","pid":%s,"start_time_ns":%s,"comm":"sleep","uid":0,"subject":"t%s"}\n' \
		"$host" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$5" "$6" "$3" "$4" "$1" "$2" "$1"
}
gate() {
	/kiln/kiln gate --apply-enforcement --quarantine-dir "$kept" --actions-per-minute 1000 --host-default "$host" "$@"
}
throttle() { event "$1" "$(start_of "$1")" medium alert read /srv/x; }
quarantine() { event "$1" "$(start_of "$1")" critical quarantine write /etc/shadow; }
# falco PID RULE TACTIC TYPE OBJECT: an alert of Falco's.
falco() {
	printf '{"hostname":"%s","time":"%s","source":"syscall","priority":"Critical","rule":"%s","tags":["%s"],"output":"%s","output_fields":{"container.id":"8f14e45fceea","evt.type":"%s","fd.name":"%s","proc.name":"sleep","proc.pname":"sleep","proc.cmdline":"sleep","proc.exepath":"memfd:x","proc.pid":%s,"user.name":"root","user.uid":0}}\n' \
		"$host" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$2" "$3" "$2" "$4" "$5" "$1"
}
# The same evidence again ends nobody: three kinds of it do.
kill_it() {
	falco "$1" "Fileless execution via memfd_create" T1620 execve ""
	falco "$1" "Detect release_agent File Container Escapes" T1611 openat /tmp/cgrp/release_agent
	falco "$1" "Linux Kernel Module Injection Detected" T1547.006 finit_module /tmp/rk.ko
}
action_of() { sed -n 's/.*"kernel_action":"\([A-Z]*\)","cell_state.*/\1/p' "$1" | tail -n 1; }
frozen() { is "$(cat "/sys/fs/cgroup/system.slice/$1/cgroup.freeze")" "$2"; }

unit() { systemd-run -q --unit="$1" -p CPUAccounting=yes /usr/bin/sleep 100000 && sleep 0.3; }

unit slow
pid=$(main_pid slow.service)
throttle "$pid" | gate >/tmp/slow.out 2>/tmp/slow.err
check throttle-exit is $? 0
[ -s /tmp/slow.err ] && grep -o '"failures":\[[^]]*\]' /tmp/slow.out
check throttle-action is "$(action_of /tmp/slow.out)" THROTTLE
check throttle-quota is "$(property slow.service CPUQuotaPerSecUSec)" 100ms
check throttle-kernel is "$(cat /sys/fs/cgroup/system.slice/slow.service/cpu.max)" "10000 100000"
key=$(sed -n 's/.*"process_key":"\([^"]*\)".*/\1/p' /tmp/slow.out | head -n 1)
/kiln/kiln gate release --quarantine-dir "$kept" "$key" >/tmp/release.out
check release-throttle-exit is $? 0
check release-throttle is "$(property slow.service CPUQuotaPerSecUSec)" infinity

unit cold
pid=$(main_pid cold.service)
key="$host:$pid@$(start_of "$pid")/t$pid"
quarantine "$pid" | gate >/tmp/cold.out 2>/tmp/cold.err
check quarantine-exit is $? 0
check quarantine-action is "$(action_of /tmp/cold.out)" QUARANTINE
check quarantine-frozen frozen cold.service 1
check quarantine-state is "$(property cold.service FreezerState)" frozen
check quarantine-network test -n "$(property cold.service IPAddressDeny)"
record=$(echo "$kept"/*/record.json)
for record in "$kept"/*/record.json; do grep -q "\"key\": \"$key\"" "$record" && folder=${record%/*}; done
check quarantine-evidence is "$(sha256sum <"$folder/executable")" "$(sha256sum </usr/bin/sleep)"
check quarantine-hash grep -q "$(sha256sum </usr/bin/sleep | cut -d' ' -f1)" "$folder/record.json"
check quarantine-target-untouched is "$(stat -c %a /usr/bin/sleep)" 755
check quarantine-copied-target cmp -s "$folder/target" /etc/shadow
/kiln/kiln gate release --quarantine-dir "$kept" "$key" >/tmp/release.out
check release-exit is $? 0
check release-thawed frozen cold.service 0
check release-network is "$(property cold.service IPAddressDeny)" ""
check release-lives kill -0 "$pid"
/kiln/kiln gate release --quarantine-dir "$kept" nobody 2>/dev/null
check release-unknown is $? 2

unit doomed
pid=$(main_pid doomed.service)
kill_it "$pid" | gate >/tmp/doomed.out 2>/tmp/doomed.err
check kill-action is "$(action_of /tmp/doomed.out)" KILL
sleep 1
check kill-dead is "$(property doomed.service ActiveState)" failed
check kill-frozen-before grep -q '"kernel_action":"QUARANTINE"' /tmp/doomed.out

# A pid that was reused: the event means another start.
unit other
pid=$(main_pid other.service)
event "$pid" 12345 critical quarantine write /etc/shadow | gate --enforcement-backends systemd >/tmp/other.out 2>/tmp/other.err
check reused-exit is $? 3
check reused-refused grep -q 'was reused' /tmp/other.out
check reused-untouched frozen other.service 0

# Never: the first process, the journal, a kernel thread, the gate's own unit, what a protect list names.
journal=$(main_pid systemd-journald.service)
for pid in 1 2 "$journal" $$; do
	quarantine "$pid" | gate --enforcement-backends systemd >/tmp/never.out 2>/dev/null
	check "never-$pid" grep -q 'is protected' /tmp/never.out
done
unit dear
quarantine "$(main_pid dear.service)" | gate --enforcement-backends systemd --protect 'dear*' >/tmp/dear.out 2>/dev/null
check protect-list grep -q 'protect list' /tmp/dear.out
check protect-untouched frozen dear.service 0

# Without systemd: control groups.
unit bare
pid=$(main_pid bare.service)
quarantine "$pid" | gate --enforcement-backends cgroup >/tmp/bare.out 2>/dev/null
check cgroup-exit is $? 0
check cgroup-frozen frozen bare.service 1
/kiln/kiln gate release --quarantine-dir "$kept" "$host:$pid@$(start_of "$pid")/t$pid" >/dev/null
check cgroup-thawed frozen bare.service 0

# Its network, told apart from its being frozen: somebody else thaws it, and it still cannot send or receive.
systemd-run -q --unit=talker /usr/bin/perl /kiln/talker.pl /tmp/talk
pid=$(main_pid talker.service)
# What it says from now on: the second line, as the first may be about what was before.
said() {
	: >/tmp/talk
	for _ in $(seq 300); do
		[ "$(wc -l </tmp/talk)" -ge 2 ] && break
		sleep 0.2
	done
	sed -n 2p /tmp/talk
}
check network-before is "$(said)" "sent received"
quarantine "$pid" | gate --enforcement-backends cgroup >/tmp/talk.out 2>/dev/null
check network-cut-told grep -q 'cut the network of /system.slice/talker.service' /tmp/talk.out
echo 0 >/sys/fs/cgroup/system.slice/talker.service/cgroup.freeze
check network-cut is "$(said)" "not sent, not received"
check network-of-others /usr/bin/perl /kiln/talker.pl /tmp/others once
/kiln/kiln gate release --quarantine-dir "$kept" "$host:$pid@$(start_of "$pid")/t$pid" >/tmp/release.out
check network-release-exit is $? 0
check network-back is "$(said)" "sent received"
pid=$(main_pid bare.service)
kill_it "$pid" | gate --enforcement-backends cgroup >/tmp/bare.out 2>/dev/null
sleep 1
check cgroup-killed is "$(property bare.service ActiveState)" failed

# The journal, read back.
journalctl --sync
journalctl -q -t scbe-linux-enforcement -o json >/tmp/journal
check journal-throttle grep -q '"SCBE_KERNEL_ACTION":"THROTTLE"' /tmp/journal
check journal-kill grep -q '"SCBE_KERNEL_ACTION":"KILL"' /tmp/journal
check journal-key grep -qF "\"SCBE_PROCESS_KEY\":\"$host:" /tmp/journal
check journal-state grep -q '"KILN_CELL_STATE":"NECROTIC"' /tmp/journal
# A target too long for a datagram comes in a memory file.
long=$(head -c 400000 /dev/zero | tr '\0' a)
event 0 1 critical quarantine write "/etc/shadow$long" | gate --enforcement-backends journald >/tmp/long.out 2>/dev/null
check journal-long-exit is $? 0
journalctl --sync
check journal-long test "$(journalctl -q -t scbe-linux-enforcement -o export -n 1 | wc -c)" -gt 400000

. /kiln/soc.sh

echo gate-proof-end
sleep 2
systemctl poweroff --force --force
