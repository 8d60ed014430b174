# The folder that a mount above Kiln's covers is seen where a namespace of one's own shows it: who removes, renames or
# replaces it there takes the mount away everywhere.
rm -rf /var/lib/kiln /tmp/m
mkdir /tmp/m
mount -t tmpfs tmpfs /tmp/m
check "without a policy it is renamed" is "worked -" try kt.service uncover /tmp/m rename
check "and the mount is gone" test ! -e /tmp/m
umount -l /tmp/m-second
rmdir /tmp/m-second
mount -t tmpfs tmpfs /var/lib
mkdir /var/lib/kiln
check "the policy loads" load a
watch_events
for how in remove rename replace; do
	check "it is not touched ($how)" is "refused EPERM" try kt.service uncover /var/lib $how
	check "and the mount stays ($how)" test -e /var/lib/kiln/marks.json
done
check "it says so" until_holds 10 reported '"verb":"delete"'
mkdir -p /tmp/m
mount -t tmpfs tmpfs /tmp/m
check "another mount is the task's own matter" is "worked -" try kt.service uncover /tmp/m remove
rmdir /var/lib-second 2>/dev/null
stop_watching
$agent unload
umount -l /var/lib
