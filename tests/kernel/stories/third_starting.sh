# disk: ext4
# cpus: 1
# Who still runs PID 1's own code in a unit, before its first program, is bound as the host is. No process of the unit acts
# as it, and who only looks like one is none.
# looks_alike UNIT WORD: one that executed PID 1's program, or was forked from one, with PID 1 its parent; it comes to the
# unit and waits there.
looks_alike() {
	rm -f /tmp/kt/pid /tmp/kt/go /tmp/kt/end /tmp/kt/read
	mkfifo /tmp/kt/go
	cat >/tmp/kt/script <<-END
		echo 0 >$slice/$1/cgroup.procs
		echo yes >/tmp/kt/pid
		read word </tmp/kt/go
		read secret </tmp/kt/secret && echo "\$secret" >/tmp/kt/read
		echo yes >/tmp/kt/end
	END
	case $2 in
	executed) (/bin/busybox sh /tmp/kt/script &) ;;
	forked) (/bin/busybox sh -c '(. /tmp/kt/script) & exit' &) ;;
	esac
	until_holds 10 test -s /tmp/kt/pid
}
goes_on() {
	echo go >/tmp/kt/go &
	until_holds 10 test -e /tmp/kt/end
}
echo secret >/tmp/kt/secret
check "the policy loads" load a
mkdir -p "$slice/kt.service"
check "PID 1 forks" is "worked -" free plant /tmp/kt/pid
child=$(cat /tmp/kt/pid)
echo "$child" >"$slice/kt.service/cgroup.procs"
check "its child is in the unit" grep -q kt.service "/proc/$child/cgroup"
check "it is starting: the host's rules are for it" is "worked -" free hijack /tmp/kt/pid /tmp/kt/secret
check "a process of the unit does not read for itself" is "refused EPERM" try kt.service read /tmp/kt/secret
check "nor by that child" is "refused EPERM" try kt.service hijack /tmp/kt/pid /tmp/kt/secret
check "it traces its own" is "worked -" try kt.service trace-child
kill -9 "$child"
for kind in executed forked; do
	check "what $kind PID 1's program comes to the unit" looks_alike kt.service $kind
	check "it comes to its end" goes_on
	check "and has not read what it must not" test ! -e /tmp/kt/read
done
check "nothing is loaded" $agent unload
for kind in executed forked; do
	check "what $kind PID 1's program is in the unit" looks_alike kt.service $kind
	check "then the policy comes" load a
	check "it comes to its end" goes_on
	check "and has not read what it must not" test ! -e /tmp/kt/read
	check "nothing is loaded" $agent unload
done
