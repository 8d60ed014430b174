# Without an agent a confined process does not hold what an update or the way out waits for.
check "the policy loads" load a
for kind in flock fcntl ofd lease; do
	try kt.service seize-lock /run/kiln/lock $kind /tmp/kt/go >/tmp/kt/lock.$kind &
	sleep 1
done
check "an update comes all the same" update b
check "and is in force" in_force 2
touch /tmp/kt/go
wait
check "it was refused" is "refused EPERM" cat /tmp/kt/lock.flock
for litter in sentinel agent.sock; do rm -f /run/kiln/$litter; mkdir -p "/run/kiln/$litter/x"; done
ln -s /nowhere /var/lib/kiln/spool
mkdir -p /sys/fs/bpf/kiln/next/x /sys/fs/bpf/kiln/links/litter
watch_events
check "an agent runs among litter" test -S /run/kiln/agent.sock
check "and proves" $agent load
stop_watching
mkdir -p /run/kiln/lock.d
check "the operator's way out works among litter" $agent unload
check "and leaves nothing" test ! -e /sys/fs/bpf/kiln
