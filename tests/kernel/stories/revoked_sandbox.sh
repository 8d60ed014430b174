# A service in a sandbox goes on writing its log, which was opened outside, after an update that tightens something else;
# after one that takes the log away it does not. Memory and pipes are never taken.
# concurrent
mkdir -p /srv/kt /home /root /var
rm -rf /srv/kt/*
echo x >/srv/kt/log
check "the policy loads" load a
n=0
for box in - tmp system,rw=/srv/kt home,devices,tmpfs=/var root=/,system,rw=/srv/kt; do
	n=$((n + 1))
	try kt.service boxed $box held /srv/kt/log /srv/kt/first $n >/tmp/kt/first.$n &
	try kt.service boxed $box held /srv/kt/log /srv/kt/second $n >/tmp/kt/second.$n &
done
try kt.service boxed system,rw=/srv/kt held memory /srv/kt/second memory >/tmp/kt/second.memory &
try kt.service boxed system,rw=/srv/kt held pipe /srv/kt/second pipe >/tmp/kt/second.pipe &
for name in first.1 first.2 first.3 first.4 first.5 second.1 second.2 second.3 second.4 second.5 second.memory second.pipe; do
	check "$name: it is open" until_holds 20 test -e /srv/kt/$name
done
check "the update comes" update b
: >/srv/kt/first
for name in first.1 first.2 first.3 first.4 first.5; do
	check "$name: it ends" until_holds 20 test -s /tmp/kt/$name
	check "$name: the log is written still" ended /tmp/kt/$name "worked -"
done
check "the update that takes it away comes" update c
: >/srv/kt/second
for name in second.1 second.2 second.3 second.4 second.5 second.memory second.pipe; do
	check "$name: it ends" until_holds 20 test -s /tmp/kt/$name
done
for name in second.1 second.2 second.3 second.4 second.5; do
	check "$name: the log is written no more" ended /tmp/kt/$name "refused EPERM"
done
check "memory stays" ended /tmp/kt/second.memory "worked -"
check "a pipe stays" ended /tmp/kt/second.pipe "worked -"
