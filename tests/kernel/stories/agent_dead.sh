# The policy is the kernel's: with the agent dead it holds, and what happened meanwhile is told later.
check "the policy loads" load a
watch_events
check "a denial is reported" is "refused EPERM" try kt.service exec /kt/denied
check "the report arrives" until_holds 10 reported '"profile":"kt_dead"'
kill -9 "$watcher"
wait "$watcher"
watcher=
: >/kiln/events
check "with the agent dead the program is refused" is "refused EPERM" try kt.service exec /kt/denied
check "and what is allowed works" is "worked -" try kt.service exec /kt/ok
check "a unit that starts now is bound" is "refused EPERM" try kt-new.service exec /kt/denied
watch_events
check "the denials of the time between are reported" until_holds 10 reported '"profile":"kt_dead"'
check "the agent says that the policy is enforced" status_has "enforcing"
