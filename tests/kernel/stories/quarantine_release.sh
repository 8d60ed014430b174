# The operator sees who is in quarantine and lets him go; the agent tells both, once, whatever becomes of it.
bait=/tmp/kt/bait
echo x >$bait
told() { is "$1" grep -c "\"phase\":\"$2\".*\"unit\":\"$3\"" /kiln/events; }
check "the policy loads" load a
watch_events
check "a unit is caught" is "refused EPERM" try kt-a.service caught-exec $bait /kt/ok
check "another is" is "refused EPERM" try kt-b.service caught-exec $bait /kt/ok
check "it is told" until_holds 10 told 1 began kt-a.service
check "with the rule" reported '"schema":"kiln.response.v1".*deny read .*then quarantine'
check "the refusal says why" until_holds 10 reported '"rule":"it is in quarantine"'
check "the status lists it" status_has "^quarantine kt-a.service since "
kill -9 "$watcher"
wait "$watcher"
watcher=
check "with the agent dead it is refused" is "refused EPERM" try kt-a.service exec /kt/ok
watch_events
sleep 2
check "a new agent does not tell it again" told 1 began kt-a.service
check "nobody is released who is not held" exits 1 $agent release kt-c.service
check "it is released" exits 0 $agent release kt-a.service
check "the unit works again" is "worked -" try kt-a.service exec /kt/ok
check "it is told that it is released" until_holds 10 told 1 released kt-a.service
check "the other is held still" is "refused EPERM" try kt-b.service exec /kt/ok
check "it is caught again" is "refused EPERM" try kt-a.service caught-exec $bait /kt/ok
check "and stays so" is "refused EPERM" try kt-a.service exec /kt/ok
rmdir "$slice/kt-b.service"
check "with the unit it ends" until_holds 10 told 1 ended kt-b.service
# A process that has left its unit bears its label itself.
mkdir -p "$slice/free.service"
try kt-d.service caught-waits $bait /kt/ok "$slice/free.service" /tmp/kt/go >/tmp/kt/d.out &
check "a process is caught" until_holds 10 test -e /tmp/kt/go.caught
pid=$(head -1 "$slice/free.service/cgroup.procs")
check "the status lists it" until_holds 10 status_has "^quarantine process $pid since "
check "the unit that it left is not held" is "worked -" try kt-d.service exec /kt/ok
check "it is released" exits 0 $agent release "$pid"
touch /tmp/kt/go
wait %2 2>/dev/null || until_holds 10 test -s /tmp/kt/d.out
check "it goes on" ended /tmp/kt/d.out "worked -"
# An agent is not needed to release.
stop_watching
check "released without one" exits 0 $agent release kt-a.service
check "it works" is "worked -" try kt-a.service exec /kt/ok
