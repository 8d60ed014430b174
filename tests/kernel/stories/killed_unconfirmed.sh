# The dead man outlives the agent: killed while an update waits for confirmation, its successor goes back all the same.
kill_watcher() {
	kill -9 "$watcher"
	wait "$watcher"
	watcher=
}
check "the policy loads" load a
watch_events
check "an update comes that wants confirmation" update b --confirm-within 8
kill_watcher
check "with the agent dead it is in force" is "refused EPERM" try kt.service exec /kt/ok
watch_events
check "its successor knows that it waits" status_has "waiting for confirmation"
check "and goes back" until_holds 40 in_force 1
check "the old policy is in force" is "worked -" try kt.service exec /kt/ok
check "which refuses what it refused" is "refused EPERM" try kt.service exec /kt/denied
check "the reverted one is a replay now" exits 11 update b
check "another update comes that wants confirmation" update c --confirm-within 5
check "and is confirmed" exits 0 $agent confirm
kill_watcher
watch_events
sleep 7
check "it stays" in_force 3
check "and is enforced" is "refused EPERM" try kt.service exec /kt/ok
kill_watcher
check "a load finds it" load a
check "and keeps it" in_force 3
