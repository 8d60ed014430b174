# Each use of a descriptor is decided again only where an update permits less than the policies before it.
decided_again() {
	$agent status --format json | grep -q '"kiln_file_permi'
}
not() { ! "$@"; }
echo secret >/tmp/kt/f
check "the policy loads" load a
check "a descriptor's use is not looked at" not decided_again
check "an update that permits more comes" update b
check "nor is it now" not decided_again
check "and what is more works" is "worked -" try kt.service read /etc/passwd
try kt.service hold /tmp/kt/f read /tmp/kt/go >/tmp/kt/read &
holding=$!
check "a file is open" until_holds 10 test -e /tmp/kt/go.read
check "an update that permits less comes" update c
check "now it is" decided_again
touch /tmp/kt/go
wait $holding
check "read from the old descriptor is refused" ended /tmp/kt/read "refused EPERM"
