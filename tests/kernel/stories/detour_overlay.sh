# modules: overlay
# On an overlay a policy decides by the overlay's paths, before and after an update that narrows it.
mount -t tmpfs none /tmp/kt
chmod 1777 /tmp/kt
mkdir -p /tmp/kt/l/folder /tmp/kt/u /tmp/kt/w /tmp/kt/m
cp /kt/ok /kt/denied /tmp/kt/l
cp /kt/dynamic /tmp/kt/l/folder
for name in one two three four held; do echo text >/tmp/kt/l/folder/$name; done
echo loose >/tmp/kt/loose
mount -t overlay -o lowerdir=/tmp/kt/l,upperdir=/tmp/kt/u,workdir=/tmp/kt/w none /tmp/kt/m
works() {
	check "$1: a file is read" is "worked -" try kt.service read /tmp/kt/m/folder/one
	check "$1: a folder is listed" is "worked -" try kt.service list /tmp/kt/m/folder
	check "$1: a file is changed" is "worked -" try kt.service change /tmp/kt/m/folder/$2
	check "$1: a program runs" is "worked -" try kt.service exec /tmp/kt/m/ok
	check "$1: a dynamic program runs" is "worked -" try kt.service exec /tmp/kt/m/folder/dynamic
	check "$1: a file below is refused" is "refused EPERM" try kt.service read /tmp/kt/l/folder/one
	check "$1: a program that may not run is refused" is "refused EPERM" try kt.service exec /tmp/kt/m/denied
}
check "the policy loads" load a
works "at first" two
check "what may be read is read" is "worked -" try kt.service read /tmp/kt/loose
check "a narrower policy comes" update b
works "narrowed" three
check "what may not be read any more is not" is "refused EPERM" try kt.service read /tmp/kt/loose
umount /tmp/kt/m
umount /tmp/kt
