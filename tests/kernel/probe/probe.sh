# Runs foreign work in a confined unit under a policy that would deny everything, and tells after each piece which system
# calls came back without an error and what the agent reported.

unit=/sys/fs/cgroup/system.slice/probe.service
calls=/sys/kernel/tracing/events/raw_syscalls/sys_exit/trigger
agent=/usr/lib/kiln/kiln-agent
count="hist:keys=id.syscall:vals=hitcount:size=2048 if ret >= 0 && (COMM ~ \"kp-*\" || COMM ~ \"stress-ng*\")"
# Foreign programs look for others, and for their own pieces, beside them.
export PATH=/kiln/foreign:$PATH

mkdir -p "$unit" /var/lib/kiln /tmp/probe
chmod 1777 /tmp/probe
mkdir -p /lib/x86_64-linux-gnu
for library in /kiln/libraries/*; do
	[ -e "$library" ] && ln -sf "$library" "/lib/x86_64-linux-gnu/${library##*/}"
done
$agent load >/kiln/load.log 2>&1 && echo kt-loaded || cat /kiln/load.log
$agent run >>/kiln/events 2>>/kiln/agent.log &

# settled: the agent has written all that there is.
settled() {
	size=-1
	waited=0
	while [ "$size" != "$(wc -c </kiln/events)" ] && [ $waited -lt 60 ]; do
		size=$(wc -c </kiln/events)
		waited=$((waited + 1))
		sleep 0.3
	done
}

dropped() {
	$agent status | sed -n 's/^events .*(\([0-9]*\) dropped).*/\1/p'
}

# probe NAME COMMAND...
probe() {
	name=$1
	shift
	case " $only " in "  " | *" $name "*) ;; *) return ;; esac
	rm -rf /tmp/probe/* 2>/dev/null
	: >/kiln/events
	lost=$(dropped)
	echo "$count" >"$calls"
	timeout -s KILL "${limit:-20}" /bin/sh -c 'echo $$ >"$0/cgroup.procs" && cd /tmp/probe && exec "$@"' "$unit" "$@" >/kiln/said 2>&1 </dev/null
	status=$?
	echo 1 >"$unit/cgroup.kill"
	told=$(sed -n 's/^{ id: sys_\([a-z0-9_]*\) .*/\1/p' "${calls%trigger}hist")
	echo "!$count" >"$calls"
	settled
	echo "kt-probe $name $status $(($(dropped) - lost))"
	echo kt-calls $told
	sed -n 's/.*"verb":"\([^"]*\)","object":"\([^"]*\)".*/\1 \2/p' /kiln/events |
		sed 's/^\([^kc][^ ]*\|connect\|create\) .*/\1/; s/^capability .*/capability/' | sort | uniq -c | sed 's/^ */kt-left /'
	[ $status = 0 ] || tail -n 2 /kiln/said | sed 's/^/kt-said /'
}
