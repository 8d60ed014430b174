# disk: ext4
# cpus: 1
# modules: fuse
# A file system that never answers, of which systemd keeps a descriptor for a service, holds up no agent.
mkdir /tmp/kt/dead
echo 1 >/tmp/kt/one
free silent /tmp/kt/dead /tmp/kt/notify >/dev/null &
check "the file system is there" until_holds 10 grep -q "/tmp/kt/dead fuse" /proc/mounts
check "PID 1 has a descriptor of it" is "worked -" free have-open /tmp/kt/one /tmp/kt/dead
export NOTIFY_SOCKET=/tmp/kt/notify
before=$(sed 's/[. ].*//' /proc/uptime)
load a &
loading=$!
check "the policy loads all the same" until_holds 60 in_force 1
check "and the loader comes to its end" until_holds 60 test ! -e "/proc/$loading"
# The file system answers after 300 s: by its end.
check "neither waited for the file system" test $(($(sed 's/[. ].*//' /proc/uptime) - before)) -lt 200
unset NOTIFY_SOCKET
kill $loading 2>/dev/null
for server in $(pidof kt); do kill -9 "$server"; done
umount -l /tmp/kt/dead
