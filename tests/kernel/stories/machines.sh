# What a policy says of an image, of labels and of host names holds for the machine that it is loaded on. The name of the
# host is taken once a boot: who may change it changes nothing.
named() { echo "$1" >/proc/sys/kernel/hostname; }
web() {
	check "$1: the profile of this host, by label" is "refused EPERM" try kt.service exec /kt/denied
	check "$1: it permits what it permits" is "worked -" try kt.service exec /kt/ok
	check "$1: not that of another host" is "worked -" try kd.service exec /kt/denied
	check "$1: nor the guard of another host" is "worked -" free chmod /tmp/kt/db
	check "$1: the guard of this host" is "refused EPERM" free chmod /tmp/kt/web
	check "$1: the guard of this image" is "refused EPERM" free chmod /tmp/kt/image
	check "$1: not that of another image" is "worked -" free chmod /tmp/kt/other
	check "$1: an instance has its template's label" is "refused EPERM" try kl@7.service exec /kt/denied
}
for file in db web image other; do : >/tmp/kt/$file; done
named web-1
check "the policy loads" load a
web "loaded"
named db-1
web "renamed"
check "an update comes" update b
check "which is in force" in_force 2
web "updated"
check "loading again changes nothing" load b
web "loaded again"
watch_events
check "a denial is reported" is "refused EPERM" try kt.service exec /kt/denied
check "by the profile of this host" until_holds 10 reported '"profile":"kt_web"'
stop_watching
check "the policy is unloaded" $agent unload
check "and loaded under the other name" load b
check "then it is the other host" is "worked -" try kt.service exec /kt/denied
check "with its profile" is "refused EPERM" try kd.service exec /kt/denied
check "and its guard" is "refused EPERM" free chmod /tmp/kt/db
check "not with that of the first" is "worked -" free chmod /tmp/kt/web
check "the image is the same" is "refused EPERM" free chmod /tmp/kt/image
check "and a label without a host holds on both" is "refused EPERM" try kl@7.service exec /kt/denied
check "the policy is unloaded again" $agent unload
named other
check "and loaded under a name that no pattern has" load b
check "no profile of a host" is "worked -" try kd.service exec /kt/denied
check "nor guard" is "worked -" free chmod /tmp/kt/db
check "but that of the image" is "refused EPERM" free chmod /tmp/kt/image
