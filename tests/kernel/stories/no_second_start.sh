# The host's rules are for PID 1's child until it has executed the unit's program. A process of the unit that looks like one
# (PID 1's program, PID 1 its parent, nothing executed since its fork) and moves within the unit is none.
# concurrent
look_like() {
	try kt.service through-allowed /bin/busybox '(
		sleep 1
		while read key value; do [ "$key" = PPid: ] && echo "$value"; done </proc/self/status >/tmp/kt/parent
		echo 0 >/sys/fs/cgroup/system.slice/kt.service/cgroup.procs && echo yes >/tmp/kt/moved
		read secret </tmp/kt/secret && echo "$secret" >/tmp/kt/read
		echo yes >/tmp/kt/end
	) & exit 42'
}
echo secret >/tmp/kt/secret
check "the policy loads" load a
check "a process is left alone" is "worked -" look_like
check "it comes to its end" until_holds 20 test -e /tmp/kt/end
check "PID 1 was its parent" is 1 cat /tmp/kt/parent
check "it moved" is yes cat /tmp/kt/moved
check "it has not read what it must not" test ! -e /tmp/kt/read
rm /tmp/kt/parent /tmp/kt/moved /tmp/kt/end
check "and another" is "worked -" look_like
check "which the agent sees, too" exits 0 $agent load
check "comes to its end" until_holds 20 test -e /tmp/kt/end
check "it has not read it, either" test ! -e /tmp/kt/read
