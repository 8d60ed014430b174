# disk: ext4
# A confined task stops no file system that Kiln's folders are on.
mkdir /tmp/d
mount -t ext4 /dev/nvme0n1 /tmp/d
check "without a policy it is frozen" is "worked -" try kt.service freeze-filesystem /tmp/d
umount /tmp/d
mount -t ext4 /dev/nvme0n1 /var/lib/kiln
check "the policy loads" load a
watch_events
check "it is not frozen" is "refused EPERM" try kt.service freeze-filesystem /var/lib/kiln
mount -t ext4 /dev/nvme0n1 /tmp/d
check "nor by another mount of it" is "refused EPERM" try kt.service freeze-filesystem /tmp/d
check "it says so" until_holds 10 reported '"verb":"setattr"'
umount /tmp/d 2>/dev/null
stop_watching
$agent unload
umount -l /var/lib/kiln
