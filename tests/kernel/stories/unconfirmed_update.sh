# An update that nobody confirms goes back by itself.
check "the policy loads" load a
watch_events
check "an update comes that wants confirmation" update b --confirm-within 5
check "it is in force" is "refused EPERM" try kt.service exec /kt/ok
check "it goes back by itself" until_holds 30 in_force 1
check "and the old policy is in force" is "worked -" try kt.service exec /kt/ok
check "which refuses what it refused" is "refused EPERM" try kt.service exec /kt/denied
