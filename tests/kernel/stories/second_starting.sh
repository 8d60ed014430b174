# Who is in a unit does not act through what systemd has just put there: until its program runs, no policy binds it.
mkfifo /tmp/kt/hold
check "the policy loads" load a
watch_events
check "the unit is bound" is "refused EPERM" try kt.service read /kiln/script
# As the system manager forks: a child of PID 1's that runs its program still.
start() {
	(
		echo 0 >"$slice/kt.service/cgroup.procs"
		exec 3</tmp/kt/hold
		read -r line <&3
	) &
	echo $! >/tmp/kt/starting
}
( start )
sleep 60 >/tmp/kt/hold &
holder=$!
sleep 1
check "it is not traced" is "refused EPERM" try kt.service trace-agent /tmp/kt/starting
check "nor its memory opened" is "refused EACCES" try kt.service agent-memory /tmp/kt/starting
check "nor a descriptor of it taken" is "refused EPERM" try kt.service steal-descriptor /tmp/kt/starting
check "it says so" until_holds 10 reported '"verb":"kernel"'
kill "$holder"
