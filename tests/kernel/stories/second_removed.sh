# A tightened policy leaves files whose name is removed, and those that never had one, to who may use them by the name.
mkdir -m 777 /tmp/kt/loose /tmp/kt/tight
check "the policy loads" load a
kinds="removed nameless"
for kind in $kinds; do
	try kt.service keep-removed /tmp/kt/loose $kind /tmp/kt/go.loose >/tmp/kt/loose.$kind &
	try kt.service keep-removed /tmp/kt/tight $kind /tmp/kt/go.tight >/tmp/kt/tight.$kind &
	check "$kind: the file is open" until_holds 10 test -e /tmp/kt/go.loose.$kind
	check "$kind: the other, too" until_holds 10 test -e /tmp/kt/go.tight.$kind
done
check "the tightened policy comes" update b
touch /tmp/kt/go.loose /tmp/kt/go.tight
wait
for kind in $kinds; do
	check "$kind: what is still permitted works" ended /tmp/kt/loose.$kind "worked -"
	check "$kind: what was taken away is refused" ended /tmp/kt/tight.$kind "refused EPERM"
done
