# A profile outside its window quarantines who asks: also when the window opens again, until the operator lets him go.
clock() { date -u -s "$1" >/dev/null; }
clock "2026-06-01 12:00:00"
check "the policy loads" load a
check "by day it is permitted" is "worked -" try kt.service exec /kt/ok
clock "2026-06-01 20:00:00"
check "by night it is refused" is "refused EPERM" try kt.service exec /kt/ok
check "the status lists it" status_has "^quarantine kt.service since "
clock "2026-06-02 12:00:00"
check "the next day it is refused still" is "refused EPERM" try kt.service exec /kt/ok
check "it is released" exits 0 $agent release kt.service
check "and works" is "worked -" try kt.service exec /kt/ok
