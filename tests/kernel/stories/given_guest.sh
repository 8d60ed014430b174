# own boot
# append: preempt=full nosmt
# cpus: 1
# disk: xfs
# modules: sctp, dummy
# What a story asks of its guest it gets: parameters, a disk with a file system, modules.
check "the kernel has the parameters" grep -q "preempt=full nosmt" /proc/cmdline
check "it has one CPU" is 1 nproc
check "the modules are loaded" test -d /sys/module/sctp -a -d /sys/module/dummy
mount -t xfs /dev/nvme0n1 /mnt
echo secret >/mnt/secret
echo open >/mnt/open
check "the disk has its file system" grep -q "^/dev/nvme0n1 /mnt xfs" /proc/mounts
check "the policy loads" load a
check "a file on the disk is refused" is "refused EPERM" try kt.service read /mnt/secret
check "another is permitted" is "worked -" try kt.service read /mnt/open
umount /mnt
