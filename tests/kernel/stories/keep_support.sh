# own boot
# The mount above the pins is taken away: by who is bound by a guard, which is refused; by an operator, which ends nothing.
check "the policy loads" load a
check "the unit is bound" is "refused EPERM" try kt.service exec /kt/denied
check "it does not take away what the pins are mounted on" is "refused EPERM" try kt.service detach /sys
check "nor in a copy of the namespace" is "refused EPERM" try kt.service cover /sys/fs/bpf
back() {
	mount -t sysfs sysfs /sys
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	mount -t securityfs securityfs /sys/kernel/security
	mount -t tracefs tracefs /sys/kernel/tracing
}
umount -l /sys
back
check "the pins are not in their place" test ! -e /sys/fs/bpf/kiln
sleep 3
check "without an agent the unit is bound still" is "refused EPERM" try kt.service exec /kt/denied
check "and what is in force is known" in_force 1
mount -t bpf bpf /sys/fs/bpf
check "an update comes all the same" update b
check "and is in force" in_force 2
check "and binds" is "refused EPERM" try kt.service exec /kt/dynamic
umount /sys/fs/bpf
check "load puts the pins back" $agent load
check "where they were" test -e /sys/fs/bpf/kiln/maps/kiln_state
check "nothing was loaded anew" in_force 2
watch_events
umount -l /sys
back
check "a running agent says what happened" until_holds 10 reported "pins are not at"
check "the unit is bound" is "refused EPERM" try kt.service exec /kt/denied
kill -9 "$watcher"
wait "$watcher" 2>/dev/null
watcher=
sleep 3
check "without the agent, too" is "refused EPERM" try kt.service exec /kt/denied
check "the operator's way out ends it" $agent unload
check "wholly" is "worked -" try kt.service exec /kt/denied
check "nobody keeps anything" test ! -e /run/kiln/keeper
mount -t bpf bpf /sys/fs/bpf 2>/dev/null
check "and what comes after begins anew" load b
check "in its place" test -e /sys/fs/bpf/kiln/maps/kiln_state
