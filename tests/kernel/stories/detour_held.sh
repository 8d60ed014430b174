# What was got under a wider policy gives no more than the narrower one: descriptors of memory, traced processes,
# mappings that are made of descriptors.
head -c 4096 /dev/zero | tr '\0' x | tee /tmp/kt/f >/tmp/kt/loose
check "the policy loads" load a
try kt.service keep-memory /tmp/kt/go1 >/tmp/kt/memory &
check "memory is held" until_holds 10 test -e /tmp/kt/go1.memory
check "exec_memory alone is taken away" update b
touch /tmp/kt/go1
wait
check "memory is not written by the old descriptor" ended /tmp/kt/memory "refused EPERM"
try kt.service keep-other /tmp/kt/go2 >/tmp/kt/other &
try kt.service keep-tracing /tmp/kt/go2 >/tmp/kt/tracing &
check "another's memory is held" until_holds 10 test -e /tmp/kt/go2.other
check "another process is traced" until_holds 10 test -e /tmp/kt/go2.tracing
check "ptrace alone is taken away" update c
touch /tmp/kt/go2
wait
check "another's memory is not read by the old descriptor" ended /tmp/kt/other "refused EPERM"
check "who traces is ended at the next request" ended /tmp/kt/tracing "killed 9"
kinds="shared-read shared-write private-read more-read more-write"
for kind in $kinds; do
	try kt.service keep /tmp/kt/f $kind /tmp/kt/go3 >/tmp/kt/$kind &
	try kt.service keep /tmp/kt/loose $kind /tmp/kt/go3.loose >/tmp/kt/loose.$kind &
	check "$kind: the file is open" until_holds 10 test -e /tmp/kt/go3.$kind
	check "$kind: the other, too" until_holds 10 test -e /tmp/kt/go3.loose.$kind
done
check "a file is taken away" update d
touch /tmp/kt/go3 /tmp/kt/go3.loose
wait
for kind in $kinds; do
	check "$kind of the old descriptor is refused" ended /tmp/kt/$kind "refused EPERM"
	check "$kind of what is still permitted works" ended /tmp/kt/loose.$kind "worked -"
done
