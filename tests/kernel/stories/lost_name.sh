# What a service has open and what lost its name (a temporary file, a log that was rotated away) is used on under an
# update that tightens something else; under one that takes its folder away it is not.
mkdir -m 777 /tmp/kt/folder
check "the policy loads" load a
for how in unlinked replaced nameless; do
	for go in first second; do
		try kt.service lost-name /tmp/kt/folder $how /tmp/kt/$go >/tmp/kt/$go-$how &
		check "$go, $how: it is open" until_holds 20 test -e /tmp/kt/$go.$how
	done
done
check "the update comes" update b
touch /tmp/kt/first
for how in unlinked replaced nameless; do
	check "$how: it ends" until_holds 20 test -s /tmp/kt/first-$how
	check "$how: it is used on" ended /tmp/kt/first-$how "worked -"
done
check "the update that takes the folder away comes" update c
touch /tmp/kt/second
wait
for how in unlinked replaced nameless; do
	check "$how: it is used no more" ended /tmp/kt/second-$how "refused EPERM"
done
