# In whatever sandbox of systemd's kind a service lives, and its servers live, it reaches what is permitted and no more.
mkdir -p /srv /mnt /var /home /root
rm -rf /srv/kt
mkdir -p /srv/kt/open /srv/kt/secret
for folder in open secret; do
	echo x >/srv/kt/$folder/f
	chmod 777 /srv/kt/$folder
done
check "the policy loads" load a
bad=0
turn=0
while [ $turn -lt 128 ]; do
	box=
	[ $((turn & 1)) = 0 ] || box=$box,root=/
	[ $((turn & 2)) = 0 ] || box=$box,tmp
	[ $((turn & 4)) = 0 ] || box=$box,system,rw=/srv/kt
	[ $((turn & 8)) = 0 ] || box=$box,home
	[ $((turn & 16)) = 0 ] || box=$box,devices
	[ $((turn & 32)) = 0 ] || box=$box,bind=/srv/kt/open:/srv/kt/open
	[ $((turn & 64)) = 0 ] || box=$box,tmpfs=/var
	box=${box#,}
	box=${box:--}
	for what in "boxed $box box-all" "boxed $box passed-descriptor"; do
		case $what in
		*box-all) got=$(try kt.service box-all "$box" /srv/kt/secret /srv/kt/open) ;;
		*) got=$(try kt.service $what /srv/kt/open/f)$(try kt.service $what /srv/kt/secret/f) ;;
		esac
		case $got in
		"worked -" | "worked -refused MSG_CTRUNC") ;;
		*)
			echo "$what: $got"
			bad=$((bad + 1))
			;;
		esac
	done
	turn=$((turn + 1))
done
check "in 128 sandboxes what is permitted works, and what is denied does not" [ $bad = 0 ]
for box in - tmp system,rw=/srv/kt devices,home root=/,system,rw=/srv/kt,home; do
	for how in from-box box-to-box; do
		for kind in unix-stream unix-sendto; do
			check "$how $box: $kind works" is "worked -" try kt.service $how $box $kind /srv/kt/open/s
			check "$how $box: $kind is refused" is "refused EPERM" try kt.service $how $box $kind /srv/kt/secret/s
		done
	done
done
# A bind mount gives another name, and what is asked for by it has that one.
check "a bound name is another" is "refused EPERM" try kt.service boxed bind=/srv/kt/open:/mnt read /mnt/f
check "the old one stays" is "worked -" try kt.service boxed bind=/srv/kt/open:/mnt read /srv/kt/open/f
