# What a program switches to is told by the file that was named, and goes to nobody who holds it.
mkdir -p /tmp/kt/tmp /opt/kt
echo secret >/kiln/kt-secret
printf '#!/bin/busybox sh\nread line </kiln/kt-secret && exit 42\nexit 13\n' | tee /tmp/kt/script /tmp/kt/plain >/opt/kt/service
cp /kt/ok /tmp/kt/tool
cp /kt/ok /tmp/kt/tmp/evil
chmod 755 /tmp/kt/script /tmp/kt/plain /opt/kt/service
check "without a policy the script runs" is "worked -" try kt.service exec /tmp/kt/script
check "without a policy a traced child executes" is "worked -" try kt.service traced-exec /tmp/kt/tool
check "without a policy a sharing child executes" is "worked -" try kt.service sharing-exec /tmp/kt/tool
check "the policy loads" load a
watch_events
check "a script without a switch has no more rights" is "refused EACCES" try kt.service exec /tmp/kt/plain
check "a script switches as its rule says" is "worked -" try kt.service exec /tmp/kt/script
check "a script's subject is found by its own path" is "refused EACCES" try other.service exec /opt/kt/service
check "a program switches" is "worked -" try kt.service exec /tmp/kt/tool
check "not while it is traced" is "refused EPERM" try kt.service traced-exec /tmp/kt/tool
check "a traced program without a switch runs" is "worked -" try kt.service traced-exec /kt/ok
check "not while it shares its folder" is "refused EPERM" try kt.service sharing-exec /tmp/kt/tool
check "a sharing program without a switch runs" is "worked -" try kt.service sharing-exec /kt/ok
check "another program does not get the name" is "refused EPERM" try kt.service rename /tmp/kt/tmp/evil /tmp/kt/tool
check "nor a second name" is "refused EPERM" try kt.service link /tmp/kt/tmp/evil /tmp/kt/later
check "the program does not get another" is "refused EPERM" try kt.service rename /tmp/kt/tool /tmp/kt/tmp/tool
check "what switches nowhere is renamed" is "worked -" try kt.service rename /tmp/kt/tmp/evil /tmp/kt/tmp/good
check "it says so" until_holds 10 reported '/tmp/kt/tool'
