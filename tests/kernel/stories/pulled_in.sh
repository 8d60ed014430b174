# A unit that may write its own cgroup's files pulls the agent into it: the agent is not confined by that.
check "the policy loads" load a
watch_events
check "the unit pulls the agent in" is "worked -" try kt.service pull-in $watcher
check "it is in there" grep -q kt.service /proc/$watcher/cgroup
check "a denial is refused" is "refused EPERM" try kt.service exec /kt/denied
check "and reported" until_holds 10 reported '"profile":"kt_pull"'
check "an update comes, by that agent" update b
check "it is in force" in_force 2
check "once more, for its seeding" exits 0 $agent load
check "and another" update c
check "which is in force, too" in_force 3
echo $watcher >/sys/fs/cgroup/cgroup.procs
