# The time decides at each request, by the kernel's own clock, however that is set, and without an agent.
zero=$(($(date +%s) - $(sed 's/[. ].*//' /proc/uptime)))
clock() { date -u -s "$1" >/dev/null; }
at() {
	moment=$1
	shift
	clock "$moment" && "$@"
}
day() {
	check "$1: permitted by day" is "worked -" try kt.service exec /kt/denied
	check "$1: refused by night only" is "worked -" try kt.service chmod /tmp/kt/night
	check "$1: the profile is active" is "worked -" try kv.service exec /kt/ok
	check "$1: the guard is not" is "worked -" try kg.service exec /kt/denied
}
# Also where nobody knows the time.
night() {
	check "$1: not permitted" is "refused EPERM" try kt.service exec /kt/denied
	check "$1: what hangs on no window is" is "worked -" try kt.service exec /kt/ok
	check "$1: refused" is "refused EPERM" try kt.service chmod /tmp/kt/night
	check "$1: the profile permits nothing and kills" is "killed 9" try kv.service exec /kt/ok
	check "$1: the guard is active" is "refused EPERM" try kg.service exec /kt/denied
}
: >/tmp/kt/night
: >/tmp/kt/berlin
chmod 666 /tmp/kt/night /tmp/kt/berlin
clock "2026-06-01 12:00:00"
check "the policy loads" load a
check "the agent knows the windows" status_has "^windows    day open; known until 2027-07-06"
day "noon"
clock "2026-06-01 18:00:00"
night "the window closes"
clock "2026-06-01 12:00:00"
day "the clock is set back"
# An NTP daemon tells the kernel by how much TAI is ahead: the wall clock is the same.
soon() { at "2026-06-01 17:59:30" is "worked -" try kt.service exec /kt/denied; }
check "half a minute before" soon
check "TAI is set" is "worked -" free tai 37
check "which changes nothing" soon
check "a second is inserted" is "worked -" free tai 38
check "which changes nothing either" soon
clock "2026-06-01 17:59:57"
until_holds 120 sh -c '[ $(date -u +%H) = 18 ]'
night "the window closed by itself"
clock "2026-06-02 07:59:59"
check "and it opens by itself" until_holds 60 is "worked -" try kt.service exec /kt/denied

berlin() { try kt.service chmod /tmp/kt/berlin; }
# In Berlin 02:00 to 03:00 comes twice on 2026-10-25, and not at all on 2027-03-28.
check "before the hour that comes twice" at "2026-10-24 23:59:50" is "refused EPERM" berlin
check "in it" at "2026-10-25 00:30:00" is "worked -" berlin
check "in it again" at "2026-10-25 01:30:00" is "worked -" berlin
check "after it" at "2026-10-25 02:00:00" is "refused EPERM" berlin
check "before the hour that is skipped" at "2027-03-28 00:59:50" is "refused EPERM" berlin
check "after the hour that is skipped" at "2027-03-28 01:00:00" is "refused EPERM" berlin
check "a week later" at "2027-04-04 00:30:00" is "worked -" berlin

clock "2027-07-05 12:00:00"
day "the last day that is known"
check "which the agent says" status_has "WARNING: known until 2027-07-06"
clock "2027-07-07 12:00:00"
night "what is not known any more"
check "which the agent says, too" status_has "^windows    unknown since 2027-07-06"
clock "2026-05-20 12:00:00"
night "what was never known"
watch_events
check "the agent computes anew" until_holds 20 is "worked -" try kt.service exec /kt/denied
day "computed anew"
check "and says so" until_holds 20 reported "it is computed anew"
clock "2030-01-01 12:00:00"
check "wherever the clock goes" until_holds 20 is "worked -" try kt.service exec /kt/denied
kill -9 "$watcher"
wait "$watcher"
watcher=
day "with the agent dead"
clock "2030-01-02 18:00:00"
night "with the agent dead"
clock "2030-01-02 12:00:00"
check "another policy has windows of its own" update b
check "which are open" is "worked -" try kt.service exec /kt/denied
check "and closed" at "2030-01-02 19:00:00" is "refused EPERM" try kt.service exec /kt/denied
check "and were not before" at "2030-01-02 08:30:00" is "refused EPERM" try kt.service exec /kt/denied
date -u -s "@$((zero + $(sed 's/[. ].*//' /proc/uptime)))" >/dev/null
