# A flood of denials with nobody to read them: every one is refused, and the losses are counted.
# concurrent
check "the policy loads" load a
watch_events
kill -STOP "$watcher"
check "each of 20000 is refused" is "refused EPERM" try kt.service flood 20000 /kt/denied
check "what is allowed works" is "worked -" try kt.service read /etc/passwd
kill -CONT "$watcher"
check "the losses are counted" until_holds 20 sh -c "$agent status | grep -q '([1-9][0-9]* dropped)'"
check "reports go on" is "refused EPERM" try kt.service read /kt/denied
# A flood without end does not keep an update from coming.
try kt.service open-storm /tmp/kt/stop /kt/denied /etc/passwd >/tmp/kt/storm &
flooding=$!
check "it floods" until_holds 20 test -e /tmp/kt/stop.opening
check "an update comes all the same" update b
check "and is in force" in_force 2
touch /tmp/kt/stop
wait $flooding
check "and nothing was let through" ended /tmp/kt/storm "refused EPERM"
