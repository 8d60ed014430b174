# Many who flood the buffer of events do not keep an update from being proven.
# concurrent
check "the policy loads" load a
watch_events
try kt.service crowd 48 /tmp/kt/stop /kt/denied >/tmp/kt/crowd &
flooding=$!
check "it floods" until_holds 60 test -e /tmp/kt/stop.on
sleep 1
check "an update comes all the same" update b
cat /kiln/update.log
check "and is in force" in_force 2
touch /tmp/kt/stop
wait $flooding
