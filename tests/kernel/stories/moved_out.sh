# A service's processes keep its policy wherever they are moved, and however they came to it.
wait_in_unit() {
	try kt.service wait-then-exec "/tmp/kt/$1" /kt/denied >"/tmp/kt/$1.out" &
	check "$1: the service waits" until_holds 10 test -e "/tmp/kt/$1.waiting"
}
move_all() {
	for process in $(cat "$slice/kt.service/cgroup.procs"); do
		echo "$process" >"$1/cgroup.procs"
	done
	check "$2: nobody is left in the unit" is "" cat "$slice/kt.service/cgroup.procs"
}
mkdir -p "$slice/free.service"
wait_in_unit older
check "the policy loads" load a
move_all "$slice/free.service" older
wait_in_unit younger
move_all "$slice/free.service" younger
check "the looser unit is there" is "worked -" try loose.service exec /kt/denied
wait_in_unit looser
move_all "$slice/loose.service" looser
wait_in_unit root
move_all /sys/fs/cgroup root
wait_in_unit back
move_all "$slice/free.service" back
for process in $(cat "$slice/free.service/cgroup.procs"); do
	echo "$process" >"$slice/kt.service/cgroup.procs"
done
for how in older younger looser root back; do
	touch "/tmp/kt/$how"
done
wait
for how in older younger looser root back; do
	check "$how: it is refused" ended "/tmp/kt/$how.out" "refused EPERM"
done
check "who was not in the unit is not bound" is "worked -" try free.service exec /kt/denied
