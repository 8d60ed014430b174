# Updates while a unit forks and executes without pause: what both policies refuse never works, what both permit always.
# concurrent
check "the policy loads" load a
watch_events
check "without a storm the program is refused" is "refused EPERM" try kt.service exec /kt/denied
try kt.service storm /tmp/kt/stop /kt/denied /kt/ok >/tmp/kt/storm &
storm=$!
check "the storm rages" until_holds 20 test -e /tmp/kt/stop.raging
for policy in b c d e; do
	check "update $policy comes" update $policy
done
check "loading again changes nothing" load e
touch /tmp/kt/stop
wait $storm
check "no request saw neither policy" ended /tmp/kt/storm "refused EPERM"
check "the last policy is in force" in_force 5
