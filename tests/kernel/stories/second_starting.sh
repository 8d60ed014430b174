# disk: ext4
# cpus: 1
# Who is in a unit does not act through what systemd has just put there: until its program runs, no policy binds it.
check "the policy loads" load a
watch_events
check "the unit is bound" is "refused EPERM" try kt.service read /kiln/script
# As the system manager forks: PID 1's own child, which runs its program still.
check "PID 1 forks" is "worked -" free plant /tmp/kt/starting
child=$(cat /tmp/kt/starting)
echo "$child" >"$slice/kt.service/cgroup.procs"
check "it is not traced" is "refused EPERM" try kt.service trace-agent /tmp/kt/starting
check "nor its memory opened" is "refused EACCES" try kt.service agent-memory /tmp/kt/starting
check "nor a descriptor of it taken" is "refused EPERM" try kt.service steal-descriptor /tmp/kt/starting
check "it says so" until_holds 10 reported '"verb":"kernel"'
kill -9 "$child"
