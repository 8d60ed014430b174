# A confined process makes no cgroup that passes for a unit: neither to fill the map of labels nor to be there before it.
check "the policy loads" load a
check "the unit is bound" is "refused EPERM" try kt.service exec /kt/denied
check "it makes no cgroup that is called as a unit" is "refused EPERM" try kt.service false-units 100 victim.service
check "nor as itself" is "refused EPERM" try kt.service false-units 100 kt.service
check "but others" is "worked -" try kt.service false-units 3 worker
check "below its own, any" is "worked -" try kt.service make-in "$slice/kt.service" folder
check "the unit that starts now is bound" is "refused EPERM" try victim.service exec /kt/denied
check "an update comes" update b
check "and is in force" in_force 2
check "an update that binds the slices comes" update c
check "it makes none below a slice that has a label" is "refused EPERM" try kt.service false-units 3 victim.service
check "but others" is "worked -" try kt.service false-units 3 helper
rmdir /sys/fs/cgroup/kt*.slice/worker /sys/fs/cgroup/kt*.slice/helper /sys/fs/cgroup/kt*.slice "$slice/kt.service/kt-litter"
