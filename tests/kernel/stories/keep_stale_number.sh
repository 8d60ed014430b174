# The agent was killed and did not say goodbye; a process that gets its number is not an agent.
check "the policy loads" load a
watch_events
stale=$watcher
kill -9 "$watcher"
wait "$watcher" 2>/dev/null
watcher=
for back in 1 2 3 4 5 6; do
	echo $((stale - back)) >/proc/sys/kernel/ns_last_pid
	check "bound, $back before" is "refused EPERM" try kt$back.service exec /kt/denied
done
