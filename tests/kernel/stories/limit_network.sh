# The rate of what a unit sends and gets, of both families and by TCP, whether or not an agent runs; others are as fast as
# they were. The rates are so low that an emulated machine that shares its processor reaches more; it may reach less.

# rate UNIT KIND ADDRESS: what came, in kbit/s.
rate() {
	rm -f /tmp/kt/rate
	[ "$(try "$1" rate "$2" "$3" "${4:-3}" /tmp/kt/rate)" = "worked -" ] && cat /tmp/kt/rate
}
# between LOW HIGH COMMAND...
between() {
	low=$1 high=$2
	shift 2
	got=$("$@")
	[ "${got:-0}" -ge "$low" ] && [ "$got" -le "$high" ] || {
		echo "expected $low to $high kbit/s, got '$got'"
		return 1
	}
}
# As on a network: else a packet of TCP has 64 KiB here.
ip link set lo mtu 1500
check "without policy TCP is fast" between 3000 100000000 rate kt-stream-out.service tcp 127.0.0.1
check "without policy it is fast" between 800 100000000 rate kt-out.service udp 127.0.0.1
check "the policy loads" load a
watch_events
check "what is sent has the rate" between 1 480 rate kt-out.service udp 127.0.0.1
check "by IPv6, too" between 1 480 rate kt-out.service udp ::1
check "what is received has it" between 1 480 rate kt-in.service udp 127.0.0.1
check "by IPv6, too" between 1 480 rate kt-in.service udp ::1
check "TCP has its rate" between 1 2400 rate kt-stream-out.service tcp 127.0.0.1 6
check "where it is received, too" between 1 2400 rate kt-stream-in.service tcp ::1 6
check "both ways are counted each for itself" between 1 480 rate kt-both.service udp 127.0.0.1
check "another unit is as fast as it was" between 800 100000000 rate kt-other.service udp 127.0.0.1
# its UNIT TEXT FILE: writes to a file below /sys/fs/cgroup.
its() { try "$1" command /bin/busybox sh -c "echo $2 >/sys/fs/cgroup/$3 || exit 1"; }
echo +pids >/sys/fs/cgroup/cgroup.subtree_control
echo +pids >"$slice/cgroup.subtree_control"
try kt-out.service exec /kt/ok >/dev/null
mkdir -p "$slice/kt-out.service/own"
check "a unit with limits does not leave its cgroup" is "refused EPERM" its kt-out.service 0 cgroup.procs
check "nor change what the kernel holds it to" is "refused EPERM" its kt-out.service max system.slice/kt-out.service/pids.max
check "what is below its cgroup is its own" is "worked -" its kt-out.service 5 system.slice/kt-out.service/own/cgroup.max.depth
check "it divides its own" is "worked -" its kt-out.service 100 system.slice/kt-out.service/cgroup.max.depth
check "a unit without limits goes where it may" is "worked -" its kt-other.service 0 cgroup.procs
check "no child is born elsewhere" is "refused EPERM" try kt-out.service child-in /sys/fs/cgroup/system.slice
check "but below" is "worked -" try kt-out.service child-in /sys/fs/cgroup/system.slice/kt-out.service/own
check "the limit is reported as met" until_holds 10 reported '"schema":"kiln.limit.v1".*"unit":"kt-out.service","resource":"network_out"'
check "the status has limit and use" status_has "kt-out.service network out 400kbit/s; [0-9]* bytes, [0-9]* dropped"
# What a refusal throttles is slow at once, by the kernel alone; then the agent tells it.
told() { is "$1" grep -c "\"phase\":\"$2\",\"action\":\"throttle\",\"unit\":\"$3\"" /kiln/events; }
echo x >/tmp/kt/bait
check "who did nothing is fast" between 3000 100000000 rate kt-slow.service tcp 127.0.0.1
check "it reads what is forbidden" is "refused EPERM" try kt-slow.service read /tmp/kt/bait
check "it is throttled" between 1 1400 rate kt-slow.service tcp 127.0.0.1 6
check "it is told" until_holds 10 told 1 began kt-slow.service
check "the status says so, and until when" status_has "^throttled  kt-slow.service since .* until .*: deny read"
check "the machine's own way in is refused" is "refused EPERM" try sshd.service read /tmp/kt/bait
check "and is as fast as it was" between 3000 100000000 rate sshd.service tcp 127.0.0.1
check "the throttled unit does not change what its cgroup is held to" is "refused EPERM" its kt-slow.service max system.slice/kt-slow.service/pids.max
check "nor goes elsewhere" is "refused EPERM" its kt-slow.service 0 cgroup.procs
kill -9 "$watcher"
wait "$watcher"
watcher=
check "with the agent dead it is throttled" between 1 1400 rate kt-slow.service tcp 127.0.0.1 6
watch_events
check "the operator lets it go" exits 0 $agent release kt-slow.service
check "it is fast again" between 3000 100000000 rate kt-slow.service tcp 127.0.0.1
check "that is told, and the beginning not again" until_holds 10 told 1 released kt-slow.service
check "not twice" told 1 began kt-slow.service
check "throttled once more" is "refused EPERM" try kt-slow.service read /tmp/kt/bait
rmdir "$slice/kt-slow.service"
check "with its cgroup it ends" until_holds 10 told 1 ended kt-slow.service
kill -9 "$watcher"
wait "$watcher"
watcher=
rmdir "$slice/kt-out.service"
check "with the agent dead a new cgroup of the unit has the rate" between 1 480 rate kt-out.service udp 127.0.0.1
watch_events
check "an update changes it" update b
check "to the least of two limits" between 1 240 rate kt-out.service udp 127.0.0.1
check "and ends what it does not have" between 800 100000000 rate kt-in.service udp 127.0.0.1
stop_watching
check "enforcement ends" $agent unload
check "and with it the rate" between 800 100000000 rate kt-out.service udp 127.0.0.1
