# A slice with a policy takes nothing from the units in it: they have that policy and their own.
bound() {
	check "$1: its profile permits" is "worked -" try "$1" exec /kt/ok
	check "$1: its profile refuses" is "refused EPERM" try "$1" exec /kt/denied
	check "$1: the slice's guard refuses" is "refused EPERM" try "$1" exec /kt/quiet
	check "$1: its own guard refuses" is "refused EPERM" try "$1" exec /kt/dynamic
}
check "without a policy" is "worked -" try kt-older.service exec /kt/denied
mkdir -p "$slice/ki.slice/kt-inner.service"
check "the policy loads" load a
bound kt-older.service
bound kt-younger.service
bound ki.slice/kt-inner.service
mkdir -p "$slice/ki.slice/kt-later.service/below"
bound ki.slice/kt-later.service/below
check "who has no policy has the slice's" is "refused EPERM" try free.service exec /kt/quiet
check "and no other" is "worked -" try free.service exec /kt/denied
# A process that has a policy keeps it, and gets that of the slice and the unit.
rmdir "$slice/kt-moved.service" 2>/dev/null
mkdir -p /sys/fs/cgroup/kt-outside.service
try ../kt-outside.service wait-then-exec /tmp/kt/go /kt/quiet >/tmp/kt/go.out &
trying=$!
check "it waits outside" until_holds 10 test -e /tmp/kt/go.waiting
for process in $(cat /sys/fs/cgroup/kt-outside.service/cgroup.procs); do
	echo "$process" >"$slice/free.service/cgroup.procs"
done
touch /tmp/kt/go
wait $trying
check "moved into the slice it is refused" ended /tmp/kt/go.out "refused EPERM"
