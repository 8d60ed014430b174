# Nothing that a unit or a user makes below its own cgroup, and no program however far down, keeps an update from coming.
own=/sys/fs/cgroup/user.slice/user-65534.slice/user@65534.service
mkdir -p $own "$slice/late.service"
chown 65534 $own $own/cgroup.procs $own/cgroup.subtree_control $own/cgroup.threads
check "the policy loads" load a
check "a unit digs" is "worked -" try kt.service dig-groups "$slice/kt.service"
/kt/kt run --case keep_deep --phase user --user nobody -- dig-groups $own
try late.service dig-groups "$slice/late.service" /tmp/kt/go /etc/passwd >/tmp/kt/late &
mkdir /tmp/kt/far
/kt/kt run --case keep_deep --phase far --user root -- far-program /tmp/kt/far /tmp/kt/go2 &
check "one lives in the deepest" until_holds 30 test -e /tmp/kt/go.on
check "a program runs that is too far down" until_holds 30 test -e /tmp/kt/go2.on
check "an update comes all the same" update b
check "and is in force" in_force 2
touch /tmp/kt/go /tmp/kt/go2
wait
check "who was in the deepest is bound by it" is "refused EPERM" cat /tmp/kt/late
check "load comes, too" $agent load
mv /tmp/kt/far /tmp/aside.far 2>/dev/null
