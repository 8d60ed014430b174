# After an update that narrows a file rule, what needs `exec` alone still starts, forks and crashes: the kernel's own
# reads of a program are not reads of the service's. What a violation of exec costs stays as it was.
mkdir /tmp/kt/cores
cp /kt/ok /tmp/kt/loose
echo secret >/tmp/kt/secret
printf '#!/kt/ok\n' >/tmp/kt/script
chmod 755 /tmp/kt/script
echo /tmp/kt/cores/core >/proc/sys/kernel/core_pattern
goes_on() {
	check "$1: a static program starts" is "worked -" try kt.service exec /kt/ok
	check "$1: in a child, too" is "worked -" try kt.service fork-exec /kt/ok
	check "$1: a script starts" is "worked -" try kt.service exec /tmp/kt/script
	check "$1: a dynamic program starts" is "worked -" try kt.service exec /kt/dynamic
	check "$1: a crash leaves its core" is "worked -" try kt.service crash /tmp/kt/cores
	check "$1: what may not run ends who tries" is "killed 9" try kt.service exec /kt/denied
}
check "the policy loads" load a
goes_on "at first"
check "what may be read is read" is "worked -" try kt.service read /tmp/kt/secret
check "a permitted program starts" is "worked -" try kt.service exec /tmp/kt/loose
check "a narrower policy comes" update b
check "it asks for revocation" test -e /sys/fs/bpf/kiln/links/kiln_file_permission
goes_on "narrowed"
check "what may not be read any more is not" is "refused EPERM" try kt.service read /tmp/kt/secret
check "what may not run any more does not" is "killed 9" try kt.service exec /tmp/kt/loose
check "a still narrower policy comes" update c
goes_on "narrowed twice"
check "the core has bytes" test -s /tmp/kt/cores/core
echo core >/proc/sys/kernel/core_pattern
