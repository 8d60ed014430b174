# A file that may not be read any more is not read by a mapping that is said to be for writing or executing only.
head -c 4096 /dev/zero | tr '\0' x | tee /tmp/kt/f >/tmp/kt/loose
check "the policy loads" load a
kinds="shared-write private-write private-exec more-shared-write more-private-write more-private-exec"
for kind in $kinds; do
	try kt.service keep-odd /tmp/kt/f $kind /tmp/kt/go >/tmp/kt/$kind &
	try kt.service keep-odd /tmp/kt/loose $kind /tmp/kt/go.loose >/tmp/kt/loose.$kind &
	check "$kind: the file is open" until_holds 10 test -e /tmp/kt/go.$kind
	check "$kind: the other, too" until_holds 10 test -e /tmp/kt/go.loose.$kind
done
check "reading it is taken away" update b
touch /tmp/kt/go /tmp/kt/go.loose
wait
for kind in $kinds; do
	check "$kind of the old descriptor is refused" ended /tmp/kt/$kind "refused EPERM"
	check "$kind of what is still permitted works" ended /tmp/kt/loose.$kind "worked -"
done
