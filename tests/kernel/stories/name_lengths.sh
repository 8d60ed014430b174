# Whatever the length of a folder's name, a file in it is reported, and so was decided, by its path.
name=
while [ ${#name} -lt 255 ]; do name=${name}abcdefghijklmnopqrstuvwxyz; done
mkdir -p /tmp/kt/plain /tmp/kt/a/seventeen_letters /tmp/kt/mounted /tmp/kt/bound
mount -t tmpfs none /tmp/kt/mounted
mkdir /tmp/kt/mounted/twenty_three_letters_in
mount --bind /tmp/kt/a /tmp/kt/bound
long=1
while [ $long -le 255 ]; do
	folder=$(printf %.${long}s "$name")
	for place in plain a/seventeen_letters mounted/twenty_three_letters_in; do
		mkdir "/tmp/kt/$place/$folder"
		: >"/tmp/kt/$place/$folder/file"
	done
	echo "/tmp/kt/plain/$folder/file"
	echo "/tmp/kt/a/seventeen_letters/$folder/file"
	echo "/tmp/kt/bound/seventeen_letters/$folder/file"
	echo "/tmp/kt/mounted/twenty_three_letters_in/$folder/file"
	long=$((long + 1))
done | sort >/kiln/names
check "the policy loads" load a
watch_events
check "each is refused" is "refused EPERM" try kt.service open-listed /kiln/names
sleep 2
grep -o '"object":"/tmp/kt/[^"]*"' /kiln/events | cut -d '"' -f 4 | sort -u >/kiln/names.told
check "and each is reported by its path" cmp /kiln/names /kiln/names.told
stop_watching
umount /tmp/kt/bound /tmp/kt/mounted
