# A service with several threads is older than its policy: whichever thread acts, it is under it.
# concurrent
start() {
	try kt.service wait-older-thread /tmp/kt/go.$1 "$@" >/tmp/kt/$1 &
	check "$1: the service waits" until_holds 10 test -e /tmp/kt/go.$1.waiting
}
start exec /kt/denied
start exec-then /kt/denied /kt/kt
start fork /kt/denied
start sibling /kt/denied
start open /kt/denied
check "the policy loads" load a
for how in exec exec-then fork sibling open; do
	touch /tmp/kt/go.$how
done
wait
for how in exec exec-then fork sibling open; do
	check "$how by the older thread is refused" ended /tmp/kt/$how "refused EPERM"
done
check "what is allowed works" is "worked -" try kt.service older-thread exec-then /kt/ok /kt/kt
check "another unit is not bound" is "worked -" try other.service older-thread exec-then /kt/denied /kt/kt
