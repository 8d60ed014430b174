# Moving to another unit never loosens: not a guard either. What comes there bears both.
check "the policy loads" load a
check "the guard binds" is "refused EPERM" try kt.service exec /kt/denied
check "the other unit is free to" is "worked -" try other.service exec /kt/denied
for place in other.service other.service/below other.service/below/deeper; do
	mkdir -p "$slice/$place"
	check "moved to $place it keeps its guard" is "refused EPERM" try kt.service leave-cgroup "$slice/$place" /kt/denied
	check "born in $place it keeps its guard" is "refused EPERM" try kt.service clone-into-cgroup "$slice/$place" /kt/denied
	check "and is free to do what the guard does not deny ($place)" is "worked -" try kt.service leave-cgroup "$slice/$place" /kt/ok
done
mkdir -p "$slice/guarded.service"
check "moved to a unit with another guard it keeps its own" is "refused EPERM" try kt.service leave-cgroup "$slice/guarded.service" /kt/denied
check "and has the other's" is "refused EPERM" try kt.service leave-cgroup "$slice/guarded.service" /kt/dynamic
check "born there, too" is "refused EPERM" try kt.service clone-into-cgroup "$slice/guarded.service" /kt/dynamic
check "moved to a cgroup of no unit it keeps its guard" is "refused EPERM" try kt.service leave-cgroup "$slice/none.service" /kt/denied
mkdir -p "$slice/kt2.service"
check "moved within what it is bound by" is "refused EPERM" try kt.service leave-cgroup "$slice/kt2.service" /kt/denied
