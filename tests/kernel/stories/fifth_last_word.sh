# A process that is traced by who may not trace any more is told nothing by it, however late.
check "the policy loads" load a
touch /tmp/kt/go
check "tracing is permitted" is "worked -" try kt.service last-word /tmp/kt/go
rm /tmp/kt/go*
try kt.service last-word /tmp/kt/go >/tmp/kt/word &
check "it traces" until_holds 10 test -e /tmp/kt/go.ready
check "ptrace is taken away" update b
touch /tmp/kt/go
wait
check "the last word is not heard" ended /tmp/kt/word "refused EPERM"
