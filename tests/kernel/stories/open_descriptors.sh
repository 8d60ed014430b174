# What a tightened policy would not open, an old descriptor does not give either.
echo secret >/tmp/kt/f
check "the policy loads" load a
for kind in read write truncate map; do
	try kt.service hold /tmp/kt/f $kind /tmp/kt/go >/tmp/kt/$kind &
	check "$kind: the file is open" until_holds 10 test -e /tmp/kt/go.$kind
done
check "without tightening the descriptor works" is "worked -" try kt.service read /tmp/kt/f
check "the tightened policy comes" update b
touch /tmp/kt/go
wait
check "read from the old descriptor is refused" ended /tmp/kt/read "refused EPERM"
check "write to it is refused" ended /tmp/kt/write "refused EPERM"
check "truncation of it is refused" ended /tmp/kt/truncate "refused EPERM"
check "an executable mapping of it is refused" ended /tmp/kt/map "refused EPERM"
check "what stays allowed works" is "worked -" try kt.service read /etc/passwd
