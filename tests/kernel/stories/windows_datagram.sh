# A datagram comes in no task's context, and the window decides all the same.
clock() { date -u -s "$1" >/dev/null; }
stranger() { try kt.service datagram 127.0.0.1 7401 127.0.0.9 plain; }
clock "2026-06-01 12:00:00"
check "without a policy it comes" is "worked -" stranger
check "the policy loads" load a
check "by day it comes" is "worked -" stranger
clock "2026-06-01 20:00:00"
check "by night it does not" is "refused NO_PEER" stranger
clock "2026-06-02 12:00:00"
check "the next day it does" is "worked -" stranger
