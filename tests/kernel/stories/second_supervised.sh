# Nor does a program switch while somebody else answers its system calls.
cp /kt/ok /tmp/kt/tool
check "the policy loads" load a
watch_events
check "a program switches" is "worked -" try kt.service exec /tmp/kt/tool
check "not under a supervisor" is "refused EPERM" try kt.service supervised-exec /tmp/kt/tool
check "what does not switch runs" is "worked -" try kt.service supervised-exec /kt/ok
check "it says so" until_holds 10 reported '/tmp/kt/tool'
