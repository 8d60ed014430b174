# A service that runs before the policy comes is under it from the flip on.
try kt.service wait-then-exec /tmp/kt/go /kt/denied >/tmp/kt/early &
early=$!
check "the service waits" until_holds 10 test -e /tmp/kt/go.waiting
check "the policy loads" load a
touch /tmp/kt/go
wait $early
check "the old task is refused" ended /tmp/kt/early "refused EPERM"
check "a new one is refused" is "refused EPERM" try kt.service exec /kt/denied
check "another unit is not bound" is "worked -" try other.service exec /kt/denied
