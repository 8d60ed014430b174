# A profile that an update brings is for all threads of a service that a guard binds already.
# concurrent
check "the policy loads" load a
for how in exec exec-then; do
	try kt.service wait-older-thread /tmp/kt/go.$how $how /kt/denied /kt/kt >/tmp/kt/$how &
	check "$how: the service waits" until_holds 10 test -e /tmp/kt/go.$how.waiting
done
check "the guard alone permits it" is "worked -" try kt.service older-thread exec /kt/denied
check "an update brings a profile" update b
touch /tmp/kt/go.exec /tmp/kt/go.exec-then
wait
check "exec by the older thread is refused" ended /tmp/kt/exec "refused EPERM"
check "and so it is after an exec" ended /tmp/kt/exec-then "refused EPERM"
check "what is allowed works" is "worked -" try kt.service older-thread exec-then /kt/ok /kt/kt
