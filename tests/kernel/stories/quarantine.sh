# A unit that breaks a rule with `then quarantine` executes nothing and reaches nobody from its next request on.
bait=/tmp/kt/bait
echo x >$bait
echo x >/tmp/kt/file
# caught NAME HOW [ARGUMENT]...: in a unit of its own, which is new.
caught() {
	name=$1 how=$2
	shift 2
	try "kt-$name.service" "caught-$how" $bait "$@"
}
for how in exec fork parent child thread race; do
	check "$how: without policy it works" is "worked -" caught "$how" "$how" /kt/ok
	rmdir "$slice/kt-$how.service"
done
for how in stream datagram receive connect bind; do
	check "$how: without policy it works" is "worked -" caught "$how" "$how"
	rmdir "$slice/kt-$how.service"
done
check "the policy loads" load a
check "what the profile permits works" is "worked -" try kt.service exec /kt/ok
for how in exec fork parent child thread race; do
	check "$how: it is refused" is "refused EPERM" caught "$how" "$how" /kt/ok
	check "$how: and so is who comes later" is "refused EPERM" try "kt-$how.service" exec /kt/ok
done
for how in stream datagram receive connect bind; do
	check "$how: it is refused" is "refused EPERM" caught "$how" "$how"
done
check "files go on" is "worked -" caught reads reads /tmp/kt/file
mkdir -p "$slice/free.service"
check "leaving the cgroup does not help" is "refused EPERM" caught leaves leaves /kt/ok "$slice/free.service"
check "nor a cgroup below the unit's" is "refused EPERM" caught below below /kt/ok "$slice/kt-below.service/sub"
check "who left before is caught himself" is "refused EPERM" caught left left /kt/ok "$slice/free.service"
check "and his threads" is "refused EPERM" caught thread2 left-thread /kt/ok "$slice/free.service"
check "the unit that he left is not" is "worked -" try kt-left.service exec /kt/ok
check "another unit of the same profile is not bound" is "worked -" try kt.service exec /kt/ok
check "nor is who is in no unit" is "worked -" free exec /kt/ok
# The agent is not needed, nor a policy that stays.
check "an update leaves it" update b
check "update: it is refused still" is "refused EPERM" try kt-exec.service exec /kt/ok
check "update: the other unit works" is "worked -" try kt.service exec /kt/ok
check "a policy that knows no quarantine comes" update c
check "it is denied everything then" is "refused EPERM" try kt-exec.service exec /kt/ok
check "and the other unit works" is "worked -" try kt.service exec /kt/ok
check "a unit that begins anew is free" eval 'rmdir "$slice/kt-exec.service" && is "worked -" try kt-exec.service exec /kt/ok'
