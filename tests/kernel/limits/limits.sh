#!/bin/bash
# Runs in the guest, started by its systemd: services that want more than the policy gives them. limits.rs judges.

export PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 raw -echo
agent=/usr/lib/kiln/kiln-agent
slice=/sys/fs/cgroup/system.slice

ok() {
	local claim=$1
	shift
	if "$@"; then echo "ok $claim"; else echo "not ok $claim"; fi
}
is() {
	local expected=$1 got
	shift
	got=$("$@" 2>&1)
	[ "$got" = "$expected" ] || {
		echo "expected '$expected', got '$got'"
		return 1
	}
}
soon() {
	local left=300
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ $left -gt 0 ] || { "$@"; return; }
		sleep 0.1
	done
}
show() { systemctl show -P "$2" "$1"; }
limits() { awk '/Max open files/ { print $4, $5 }' "/proc/$(show "$1" MainPID)/limits"; }
quietly() { "$@" >/kiln/quiet.log 2>&1 || { cat /kiln/quiet.log; return 1; }; }
# Within two seconds the kernel does not make it wait.
unthrottled() {
	local before
	sleep 1
	before=$(grep nr_throttled "$slice/$1/cpu.stat")
	sleep 2
	is "$before" grep nr_throttled "$slice/$1/cpu.stat"
}
throttled_disk() { show "$1" IOWriteBandwidthMax | grep -q ' 1000000$'; }
limited_disk() { show kl-io.service IOWriteBandwidthMax | grep -q "$1"; }
told() { grep -q "$1" /kiln/events; }
# share UNIT: percent of a processor that it got within some five seconds.
share() {
	local before after begin end
	before=$(awk '/^usage_usec/ { print $2 }' "$slice/$1/cpu.stat") begin=$(tr -d . </proc/uptime)
	sleep 5
	after=$(awk '/^usage_usec/ { print $2 }' "$slice/$1/cpu.stat") end=$(tr -d . </proc/uptime)
	echo $(((after - before) / 100 / (${end%% *} - ${begin%% *})))
}
between() {
	local low=$1 high=$2 got
	shift 2
	got=$("$@")
	[ "$got" -ge "$low" ] && [ "$got" -le "$high" ] || {
		echo "expected $low to $high, got $got"
		return 1
	}
}
unit() {
	local name=$1 program=$2
	shift 2
	printf '[Service]\nExecStart=/usr/bin/perl /run/kl/%s.pl %s\n' "$program" "$name" >"/etc/systemd/system/kl-$name.service"
	[ $# = 0 ] || printf '%s\n' "$@" >>"/etc/systemd/system/kl-$name.service"
}

# The second boot: the policy comes in the midst of it, as on every machine.
if [ -e /kiln/again ]; then
	mkdir -p /run/kl
	echo 'sleep 600;' | tee /run/kl/files.pl >/run/kl/sleep.pl
	ok "at boot the policy loads" soon is active show kiln-load.service ActiveState
	journalctl -q -o cat --no-pager -u kiln-load | grep '^kiln-agent'
	ok "before the system is up" is "" systemctl list-jobs --no-legend kiln-load.service
	ok "systemd says the limits" is 50331648 show kl-memory.service MemoryMax
	ok "a service starts" systemctl start kl-files.service
	ok "with them" is "40 60" limits kl-files.service
	echo limits-end
	sleep 2
	systemctl poweroff --force --force
fi

mkdir -p /run/kl /var/lib/kiln /usr/lib/kiln/trust
cat >/run/kl/cpu.pl <<'END'
1 while 1;
END
cat >/run/kl/memory.pl <<'END'
sleep 1 until -e "/run/kl/go"; my $x = "a" x (120 << 20); sleep 600;
END
cat >/run/kl/pids.pl <<'END'
my $n = 0; for (1 .. 40) { my $p = fork; last unless defined $p; if (!$p) { sleep 600; exit } $n++ }
open my $f, ">", "/run/kl/$ARGV[0].count"; print $f "$n\n"; close $f; sleep 600;
END
cat >/run/kl/files.pl <<'END'
my @open; while (open my $f, "<", "/dev/null") { push @open, $f } my $n = @open; pop @open; pop @open;
my ($low, $high) = (pack("QQ", 20, 30), pack("QQ", 4000, 4000));
my $raised = syscall(160, 7, $high) ? "refused $!" : "raised"; my $child = fork;
exit(syscall(160, 7, $low) ? 1 : 0) if !$child; waitpid $child, 0; my $allowed = $? ? "refused" : "allowed";
open my $f, ">", "/run/kl/$ARGV[0].count"; print $f "$n $allowed $raised\n"; close $f; sleep 600;
END
cat >/run/kl/sleep.pl <<'END'
sleep 600;
END
cat >/run/kl/forbidden.pl <<'END'
if (@ARGV < 2) { open my $f, "<", "/kiln/forbidden" } sleep 600;
END
touch /kiln/forbidden
unit timed sleep
unit t@ sleep MemoryMax=32M
unit slow forbidden
unit met pids
unit cpu cpu
unit memory memory
unit own sleep MemoryMax=16M
unit pids pids
unit kill pids
unit files files LimitNOFILE=40:4096
unit old sleep LimitNOFILE=1000:4096
unit i@ pids
unit other pids
printf '[Service]\nType=oneshot\nExecStart=/bin/dd if=/dev/zero of=/var/tmp/kl bs=64k count=64 oflag=direct\n' >/etc/systemd/system/kl-io.service
for unit in kiln-load kiln-agent; do
	sed -e "s#{{ agent }}#$agent#; s#{{ lib }}#/usr/lib/kiln#; s#{{ load_unit }}#kiln-load.service#" /kiln/$unit.service >/etc/systemd/system/$unit.service
done
mkdir -p /etc/systemd/system/kiln-agent.service.d /etc/systemd/system/kiln-load.service.d
printf '[Service]\nLoadCredential=\nStandardOutput=append:/kiln/events\n' >/etc/systemd/system/kiln-agent.service.d/test.conf
printf '[Service]\nTimeoutStartSec=600\n' >/etc/systemd/system/kiln-load.service.d/test.conf
cp /kiln/kiln-agent /usr/lib/kiln/ && cp /kiln/policy.pub /usr/lib/kiln/trust/
cp /kiln/a.tables /usr/lib/kiln/policy.tables && cp /kiln/a.dsse.json /usr/lib/kiln/policy.dsse.json
systemctl daemon-reload
systemctl start kl-old.service

ok "the policy loads" systemctl start kiln-load.service
journalctl -q -o cat --no-pager -u kiln-load | grep '^kiln-agent'
ok "the agent starts" systemctl start kiln-agent.service
ok "what ran before has no more descriptors" is "50 50" limits kl-old.service
ok "systemd says the quota" is 200ms show kl-cpu.service CPUQuotaPerSecUSec
ok "the least of two blocks" is 25165824 show kl-memory.service MemoryMax
ok "the unit's own where that is less" is 16777216 show kl-own.service MemoryMax
ok "an instance has its limit" is 10 show kl-i@7.service TasksMax
ok "another has not" test "$(show kl-i@8.service TasksMax)" != 10

systemctl start kl-t@1 kl-slow kl-met
ok "an instance of a template has its limit" soon is 7 show kl-t@1.service TasksMax
ok "in the kernel, too" is 7 cat "$slice/system-kl\\x2dt.slice/kl-t@1.service/pids.max"
ok "the template's own where that is less" is 33554432 show kl-t@1.service MemoryMax
ok "who reads what is forbidden is throttled" soon is 100ms show kl-slow.service CPUQuotaPerSecUSec
ok "and has less of the disk" throttled_disk kl-slow.service
ok "that is told" soon told '"phase":"began","action":"throttle","unit":"kl-slow.service"'
ok "the status says it" grep -q '^throttled  kl-slow.service since .*deny read' <($agent status)
ok "who meets a limit is throttled" soon is 100ms show kl-met.service CPUQuotaPerSecUSec
ok "and it is told what was met" soon told '"unit":"kl-met.service","resource":"pids","limit":7,.*"action":"throttle"'

systemctl start kl-cpu kl-memory kl-pids kl-files kl-own kl-other kl-i@7
ok "a busy loop gets a fifth" between 16 24 share kl-cpu.service
ok "no more forks than the limit" soon is 9 cat /run/kl/pids.count
ok "nor of an instance" soon is 9 cat /run/kl/i@.count
ok "another unit forks as it likes" soon is 40 cat /run/kl/other.count
# Three are the standard ones, one the program's text.
ok "descriptors end at the soft limit, and the hard one is not raised" soon is "37 allowed refused Operation not permitted" cat /run/kl/files.count
ok "the hard limit is the policy's" is "40 50" limits kl-files.service
ok "the refusal is told" soon told '"object":"sys_resource"'
touch /run/kl/go
ok "a memory hog is ended" soon is oom-kill show kl-memory.service Result
ok "and told" soon told '"unit":"kl-memory.service","resource":"memory"'
ok "forks beyond the limit are told" soon told '"unit":"kl-pids.service","resource":"pids"'
ok "throttling is told" soon told '"unit":"kl-cpu.service","resource":"cpu"'
rm -f /run/kl/go
systemctl start kl-kill.service
ok "what meets a limit that kills is ended whole" soon is failed show kl-kill.service ActiveState
ok "with its children" test ! -s "$slice/kl-kill.service/cgroup.procs"
ok "and told with severity and action" soon told '"unit":"kl-kill.service","resource":"pids","limit":5,.*"severity":"high","action":"kill"'
begun=$(date +%s)
ok "writing ends" systemctl start kl-io.service
ok "at the rate" between 3 8 echo $(($(date +%s) - begun))
$agent status | sed 's/^/# /'
ok "the status has limits and use" grep -q 'kl-cpu.service cpu 20%; used [0-9]* ms, met' <($agent status)
ok "in JSON, too" grep -q '"limits":\[{"unit":"kl-cpu.service","resource":"cpu","limit":20,"used":' <($agent status --format json)

systemctl daemon-reload
sleep 1
ok "after daemon-reload the kernel has the quota" is "20000 100000" cat $slice/kl-cpu.service/cpu.max
ok "and the busy loop a fifth" between 16 24 share kl-cpu.service
systemctl kill -s KILL kiln-agent.service
systemctl stop kiln-agent.service
systemctl restart kl-cpu.service kl-files.service
ok "without the agent a unit that is restarted has its quota" between 16 24 share kl-cpu.service
ok "and its descriptors" soon is "40 50" limits kl-files.service
ok "loading again changes nothing" quietly $agent load
ok "the quota is there" is "20000 100000" cat $slice/kl-cpu.service/cpu.max
ok "who is throttled is so without the agent" is "10000 100000" cat $slice/kl-slow.service/cpu.max
systemctl start kiln-agent.service
ok "and with the next" is 100ms show kl-slow.service CPUQuotaPerSecUSec
ok "the operator lets it go" $agent release kl-slow.service
ok "it has its processor again" soon is infinity show kl-slow.service CPUQuotaPerSecUSec
ok "in the kernel, too" soon is "max 100000" cat $slice/kl-slow.service/cpu.max
ok "the other is throttled still" is 100ms show kl-met.service CPUQuotaPerSecUSec
truncate -s 32M /var/tmp/disk && mkfs.ext4 -q /var/tmp/disk && mkdir -p /mnt/kl && mount -o loop /var/tmp/disk /mnt/kl
ok "a disk that is mounted later has its limit" soon limited_disk loop
date -u -s "$(date -u +%F) 10:00:00" >/dev/null
ok "outside of its window a limit does not hold" soon is 67108864 show kl-timed.service MemoryMax
date -u -s "$(date -u +%F) 12:00:00" >/dev/null
ok "within it does" soon is 16777216 show kl-timed.service MemoryMax
ok "the status has that one" grep -q '^limit *kl-timed.service memory 16MiB' <($agent status)
date -u -s "$(date -u +%F) 13:00:00" >/dev/null
ok "and ends with it" soon is 67108864 show kl-timed.service MemoryMax
umount /mnt/kl

ok "an update comes" quietly $agent update --tables /kiln/b.tables --signature /kiln/b.dsse.json
ok "an update to a policy without ends a throttle" soon is infinity show kl-met.service CPUQuotaPerSecUSec
ok "it ends a quota" is infinity show kl-cpu.service CPUQuotaPerSecUSec
sed 's/^/# cpu.max /' $slice/kl-cpu.service/cpu.max
ok "in the kernel, too" unthrottled kl-cpu.service
ok "it widens memory" is 50331648 show kl-memory.service MemoryMax
ok "not beyond the unit's own" is 16777216 show kl-own.service MemoryMax
ok "what ran before has its descriptors again" is "1000 4096" limits kl-old.service
systemctl restart kl-files.service
ok "new processes have the new ones" soon is "40 60" limits kl-files.service

systemctl stop kiln-agent.service
ok "enforcement ends" $agent unload
ok "memory is the unit's own" is infinity show kl-memory.service MemoryMax
ok "so are descriptors" is 4096 show kl-files.service LimitNOFILE
ok "also of what runs" is "40 4096" limits kl-files.service
ok "nothing is left" is "" find /run/systemd/system -name '*kiln-limits*'
cat /kiln/events | sed 's/^/# /' | tail -n 40
mkdir -p /etc/systemd/system/kl-files.service.d
printf '[Unit]\nRequires=kiln-load.service\nAfter=kiln-load.service\n' >/etc/systemd/system/kl-files.service.d/50-kiln.conf
ok "the policy is loaded at each boot" quietly systemctl enable kiln-load.service
touch /kiln/again
sync
echo limits-end
sleep 2
systemctl poweroff --force --force
