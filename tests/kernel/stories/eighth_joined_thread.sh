# A second thread is half-way through execve(2) when its process is moved: it comes out with the new unit's guards, too.
loader=/lib64/ld-linux-x86-64.so.2
move_all() {
	for process in $(cat "$slice/kt.service/cgroup.procs"); do
		echo "$process" >"$1/cgroup.procs"
	done
}
mkdir -p "$slice/guarded.service" "$slice/free.service"
held() {
	try kt.service thread-exec-held $loader "/tmp/kt/$1" /kt/dynamic >"/tmp/kt/$1.out" &
	trying=$!
	check "$1: the thread waits within execve" until_holds 20 test -e "/tmp/kt/$1.waiting"
	move_all "$slice/$1.service"
	touch "/tmp/kt/$1"
	wait $trying
}
held guarded
check "without a policy it runs" ended /tmp/kt/guarded.out "worked -"
rm -f /tmp/kt/guarded*
check "the policy loads" load a
watch_events
held free
check "who goes to no other unit runs" ended /tmp/kt/free.out "worked -"
check "nobody was refused a mapping" is "" grep '"verb":"load"' /kiln/events
held guarded
cat /tmp/kt/guarded.out
check "who goes to the guarded unit does not" is "" grep worked /tmp/kt/guarded.out
check "by the guard" until_holds 10 reported '"verb":"load"'
