# A policy that the build did not sign is taken if it is a subset of the build's, and for as long as it says.
# tighten b: a 1 1893585600
# tighten c: a 2 1893585600
# tighten d: a 3 1893672000
zero=$(($(date +%s) - $(sed 's/[. ].*//' /proc/uptime)))
clock() { date -u -s "$1" >/dev/null; }
denied() { try kt.service exec /kt/denied; }
status_is_builds() { ! status_has "^tightened"; }
says() { grep -q "$1" /kiln/update.log; }
clock "2030-01-01 12:00:00"
check "the build's policy loads" load a
check "and permits the program" is "worked -" denied
check "a subset is taken" update b
check "and in force" is "refused EPERM" denied
check "what it leaves is permitted" is "worked -" try kt.service exec /kt/ok
check "the status tells it" status_has "^tightened  until 2030-01-02T12:00:00Z, tightening 1 of the build's policy"
check "the same is not taken again" exits 11 update b
check "a wider one is refused" exits 1 update c
check "with the shortest request that shows it" says "not a subset of the build's: profile kt may do what the build's policy refuses: exec \"/kt/quiet\""
check "which changes nothing" is "refused EPERM" denied
check "after a boot it is in force again" exits 0 sh -c "$agent unload 2>/dev/null && $agent load >/kiln/load.log"
check "as before" is "refused EPERM" denied
check "reverting needs no signature" exits 0 $agent revert
check "the build's policy is in force" is "worked -" denied
check "and no tightened one" status_is_builds
check "there is nothing more to revert" exits 1 $agent revert
check "an older number is not taken" exits 11 update b
check "a newer one is" update d
check "and the program that the first refused is permitted" is "worked -" denied
watch_events
clock "2030-01-03 00:00:00"
check "half a day before it says so" until_holds 20 reported "from then on the build's own is enforced again"
check "and nothing else" status_has "^tightened .*WARNING: less than a day is left"
clock "2030-01-03 12:00:01"
check "at its end the build's policy is in force" until_holds 20 status_is_builds
check "which is said" reported "is the build's own again: the tightened one has expired"
clock "2030-01-01 12:00:00"
check "a clock that is set back brings nothing back" exits 11 update d
check "a newer policy of the build is taken" update e
check "which ends all tightenings of the one before" exits 1 update c
date -u -s "@$((zero + $(sed 's/[. ].*//' /proc/uptime)))" >/dev/null
