# An agent with another BPF object takes the place of the one before, while a unit forks, executes and opens without
# pause: no request sees the programs of neither.
# concurrent
other=/kiln/other-agent
held() {
	check "$1: the program is refused" is "refused EPERM" try kt.service exec /kt/denied
	check "$1: and the file" is "refused EPERM" try kt.service read /kt/denied
	check "$1: what is allowed works" is "worked -" try kt.service exec /kt/ok
}
programs() {
	$agent status --format json | grep -o '"program":[0-9]*' | sort -u
}
# Every program of the evidence is one that is attached, and none of them was there before.
all_new() {
	programs >/kiln/programs
	[ -s /kiln/programs ] && ! grep -qxFf /kiln/programs.before /kiln/programs
}
check "the objects differ" sh -c "! cmp -s $agent $other"
check "the policy loads" load a
programs >/kiln/programs.before
try kt.service storm /tmp/kt/stop /kt/denied /kt/ok >/tmp/kt/storm &
try kt.service open-storm /tmp/kt/stop /kt/denied /kt/ok 2000 >/tmp/kt/opens &
check "the storm rages" until_holds 20 test -e /tmp/kt/stop.raging
check "and the other" until_holds 20 test -e /tmp/kt/stop.opening
before=$(cut -d. -f1 /proc/uptime)
agent=$other
check "the other agent takes its place" load a
took=$(($(cut -d. -f1 /proc/uptime) - before + 1))
check "all programs are new" all_new
check "and the evidence names them" status_has "enforcing"
held "after the upgrade"
check "once more changes nothing" load a
check "the same programs are attached" sh -c "$agent status --format json | grep -o '\"program\":[0-9]*' | sort -u | cmp -s - /kiln/programs"
# Killed at many moments of its work, each time between two objects.
turn=0
while [ $turn -lt 8 ]; do
	[ $agent = $other ] && agent=/usr/lib/kiln/kiln-agent || agent=$other
	$agent load >/dev/null 2>&1 &
	loading=$!
	usleep $((took * 125000 * turn + 50000))
	kill -9 $loading 2>/dev/null
	wait $loading 2>/dev/null
	held "killed in upgrade $turn"
	turn=$((turn + 1))
done
check "the next load goes on" load a
check "and ends well" status_has "enforcing"
check "with nothing left aside" sh -c "[ ! -e /sys/fs/bpf/kiln/next ]"
touch /tmp/kt/stop
wait
check "no exec saw neither's programs" ended /tmp/kt/storm "refused EPERM"
check "and no open" ended /tmp/kt/opens "refused EPERM"
