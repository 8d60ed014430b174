# disk: ext4
# cpus: 1
# modules: overlay
# Kiln's own by ways that are not names, against a confined root that governs no file: handles, attributes by a descriptor
# that only reads, a stop of the file system.
place=$slice/kiln-agent.service
mkdir -p /tmp/kt-m "$place"
mount -t ext4 /dev/nvme0n1 /var/lib/kiln
echo yes >/tmp/kt/f
check "the policy loads" load a
( echo 0 >"$place/cgroup.procs"; exec $agent run >>/kiln/events 2>>/kiln/agent.log ) &
watcher=$!
check "the agent is in its cgroup" until_holds 20 test -S /run/kiln/agent.sock
check "which is not frozen by name" is "refused EPERM" try kt.service overwrite "$place/cgroup.freeze"
check "nor by a handle" is "refused EPERM" try kt.service write-handle /sys/fs/cgroup "$place/cgroup.freeze" 0
check "another's is, by name" is "worked -" try kt.service overwrite "$slice/kt.service/cgroup.max.depth"
cp /var/lib/kiln/marks.json /tmp/kt/marks
check "its memory is not written by name" is "refused EPERM" try kt.service overwrite /var/lib/kiln/marks.json
check "nor by a handle" is "refused EPERM" try kt.service write-handle /var/lib/kiln /var/lib/kiln/marks.json '{'
check "it is as it was" cmp /tmp/kt/marks /var/lib/kiln/marks.json
cp /tmp/kt/marks /var/lib/kiln/marks.json
check "a folder does not become immutable" is "refused EPERM" try kt.service hold-still /var/lib/kiln
check "nor a file" is "refused EPERM" try kt.service hold-still /var/lib/kiln/marks.json
check "nor one on another file system" is "refused EPERM" try kt.service hold-still /usr/lib/kiln/policy.tables
check "what is not Kiln's does" is "worked -" try kt.service hold-still /tmp/kt/f
mkdir -p /usr/lib/kt-work /usr/lib/kt-upper /tmp/kt/low
echo yes >/usr/lib/kt-upper/f
cp /usr/lib/kiln/policy.tables /tmp/kt/tables
check "an overlay does not write where Kiln's keys and tables are" is "refused EPERM" try kt.service write-layer /usr/lib/kiln /usr/lib/kt-work /tmp/kt/low policy.tables
check "they are as they were" cmp /tmp/kt/tables /usr/lib/kiln/policy.tables
cp /tmp/kt/tables /usr/lib/kiln/policy.tables
check "one of other folders does" is "worked -" try kt.service write-layer /usr/lib/kt-upper /usr/lib/kt-work /tmp/kt/low f
check "its file system is not stopped" is "refused EPERM" try kt.service stop-writes /var/lib/kiln
stop_watching
$agent unload
umount /var/lib/kiln
mount -t ext4 /dev/nvme0n1 /tmp/kt-m
check "the policy comes again" load a
check "a file system without anything of Kiln's is" is "worked -" try kt.service stop-writes /tmp/kt-m
echo yes >/tmp/kt-m/f
check "there a file is written by a handle" is "worked -" try kt.service write-handle /tmp/kt-m /tmp/kt-m/f x
umount /tmp/kt-m
