#!/bin/bash
# Runs in the guest, started by its systemd: real units in every kind of sandbox, through start, reload, restart, crash and
# stop, without policy and under three that follow each other. It only brings about and tells; units.rs judges.

export PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 raw -echo
# names (services), started (those that nothing asks for), pokes (addresses), sockets and users (units)
. /kiln/lists
all=$((${#names[@]} + ${#users[@]}))
agent=/usr/lib/kiln/kiln-agent

at() { echo "ku-at $(cut -d' ' -f1 /proc/uptime) $*"; }

at ground
mkdir -p /srv/ku/{open,narrow,secret,bound,real,scratch,never} /run/ku /var/log/ku /usr/lib/ku /var/lib/kiln /usr/lib/kiln/trust
for folder in open narrow secret real never; do echo x >/srv/ku/$folder/f; done
chmod -R a+rwX /srv/ku
chmod 777 /srv/ku/* /run/ku /var/log/ku
cp /kiln/service /usr/lib/ku/service
for name in open narrow secret; do cp /kiln/service /usr/lib/ku/$name; done
root=/srv/kuroot
mkdir -p $root/{proc,sys,dev,run/ku,run/dbus,run/systemd/journal,tmp,var/lib,var/tmp,var/log/ku,var/cache,var/spool,srv/ku,root,home,etc,usr/lib/ku,usr/share}
chmod 1777 $root/tmp $root/var/tmp
cp /usr/lib/ku/* $root/usr/lib/ku/
cp /etc/os-release /etc/passwd /etc/group $root/etc/
grep -q '^ku:' /etc/passwd || echo 'ku:x:1000:1000::/home/ku:/bin/sh' >>/etc/passwd
mkdir -p /home/ku && chown 1000:1000 /home/ku
mkdir -p /etc/systemd/user
perl -ne 'if (/^=== (.*)/) { open F, ">", $1 or die $1 } else { print F $_ }' /kiln/units || exit 1
for unit in kiln-load kiln-agent; do
	sed -e "s#{{ agent }}#$agent#; s#{{ lib }}#/usr/lib/kiln#; s#{{ load_unit }}#kiln-load.service#" /kiln/$unit.service >/etc/systemd/system/$unit.service
done
# No files of Debian's bring a session to the user's manager here.
mkdir -p /etc/systemd/system/user@1000.service.d /etc/systemd/system/kiln-agent.service.d /etc/systemd/system/kiln-load.service.d
printf '[Service]\nPAMName=\nEnvironment=XDG_RUNTIME_DIR=/run/user/1000 HOME=/home/ku\n' >/etc/systemd/system/user@1000.service.d/test.conf
mkdir -p /run/user/1000 && chown 1000:1000 /run/user/1000 && chmod 700 /run/user/1000
printf '[Service]\nLoadCredential=\nStandardOutput=append:/kiln/events\n' >/etc/systemd/system/kiln-agent.service.d/test.conf
printf '[Service]\nTimeoutStartSec=600\n' >/etc/systemd/system/kiln-load.service.d/test.conf
cp /kiln/kiln-agent /usr/lib/kiln/ && cp /kiln/policy.pub /usr/lib/kiln/trust/
cp /kiln/a.tables /usr/lib/kiln/policy.tables && cp /kiln/a.dsse.json /usr/lib/kiln/policy.dsse.json
mkdir -p /run/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\nRateLimitBurst=0\nRuntimeMaxUse=100M\n' >/run/systemd/journald.conf.d/test.conf
systemctl restart systemd-journald
systemctl daemon-reload
systemctl start dbus.service
/usr/lib/ku/service serve >/kiln/ticks &
while [ ! -S /run/ku/ticks.sock ]; do sleep 0.1; done

# phase NAME: what the services call what they find from now on.
phase() {
	phase=$1
	echo "$phase" >/srv/ku/open/phase
	at "phase $phase"
}
# wait_for HOW COUNT: so many services have probed in this phase, or none for a minute.
wait_for() {
	local left=120 count=0 before=0
	while [ $left -gt 0 ]; do
		count=$(grep -c "^$phase $1 " /kiln/ticks)
		[ "$count" -lt "$2" ] || break
		[ "$count" = "$before" ] || left=120
		before=$count
		sleep 0.5
		left=$((left - 1))
	done
	at "$count of $2 $1"
}
user() {
	[ ${#users[@]} -gt 0 ] || return
	setpriv --reuid 1000 --regid 1000 --clear-groups env XDG_RUNTIME_DIR=/run/user/1000 HOME=/home/ku systemctl -q --no-block --user "$@" "${users[@]}"
}
poke() { /usr/lib/ku/service poke "${pokes[@]}" | sed "s/^ku-poke/& $phase/"; }
ended() {
	local left=100
	while [ $left -gt 0 ] && [ -n "$(systemctl list-jobs --no-legend 'ku*' 'esc@*')" ]; do
		sleep 0.3
		left=$((left - 1))
	done
	systemctl list-jobs --no-legend 'ku*' 'esc@*' | sed "s/^/ku-failed $phase still /"
	for unit in $(systemctl list-units --plain --no-legend --state=failed 'ku*' 'esc@*' | cut -d' ' -f1); do
		echo "ku-failed $phase $unit"
		journalctl -q --no-pager -o cat -n 6 -u "$unit"
		systemctl reset-failed "$unit"
	done
}
# In each phase every service's turn is another: restarted, ended by a signal, or stopped and started again.
turn() {
	restarted=() crashed=() starting=() stopped=() reloaded=() told=()
	local at=0 name
	for name in "${names[@]}"; do
		case $(((at + $1) % 4)) in
		0 | 2) restarted+=("$name") ;;
		1) crashed+=("$name") ;;
		3) stopped+=("$name") ;;
		esac
		case $(((at + $1) % 3)) in
		0) reloaded+=("$name") ;;
		*) told+=("$name") ;;
		esac
		at=$((at + 1))
	done
}
# all_of WORDS UNIT...: one call for all, none for none.
all_of() {
	local words=$1
	shift
	[ $# = 0 ] || systemctl -q --no-block $words "$@"
}
# By ExecReload= (or systemd itself), or by a signal.
reload() {
	all_of reload "${reloaded[@]}"
	all_of "kill -s HUP --kill-whom=main" "${told[@]}"
	user reload
	wait_for reload "$all"
	ended
}
again() {
	all_of "kill -s SEGV --kill-whom=main" "${crashed[@]}"
	all_of restart "${restarted[@]}"
	[ ${#stopped[@]} = 0 ] || systemctl -q stop "${stopped[@]}"
	# Those with a socket are started by whoever connects.
	for name in "${stopped[@]}"; do
		[[ " ${started[*]} " == *" $name "* ]] && starting+=("$name")
	done
	all_of start "${starting[@]}"
	case $1 in
	0) user restart ;;
	*) user kill -s SEGV --kill-whom=main ;;
	esac
	wait_for start $((${#starting[@]} + ${#crashed[@]} + ${#restarted[@]} + ${#users[@]}))
	poke
	wait_for start $((all + 1))
	ended
}
update() {
	$agent update --tables /kiln/$1.tables --signature /kiln/$1.dsse.json >/kiln/update.log 2>&1 || { echo "ku-wrong update $1"; cat /kiln/update.log; }
	at updated
}

systemctl start "${sockets[@]}" user@1000.service
phase base
all_of start "${started[@]}"
user start
wait_for start $((${#started[@]} + ${#users[@]}))
poke
wait_for start $((all + 1))
ended
rm -f /srv/ku/open/new*

phase a-live
turn 0
systemctl start kiln-load.service || { echo "ku-wrong load"; journalctl -u kiln-load -o cat --no-pager; }
systemctl start kiln-agent.service || { echo "ku-wrong agent"; journalctl -u kiln-agent -o cat --no-pager; }
at loaded
reload
phase a-again
again 0

phase b-live
turn 1
update b
reload
phase b-again
again 1

phase c-live
turn 2
update c
reload

# What holds the pins is systemd, when neither the agent nor their mount is there.
at "kept $(systemctl show -p NFileDescriptorStore --value kiln-load.service kiln-agent.service | tr '\n' ' ')"
ls /run/kiln/keeper 2>/dev/null | sed 's/^/ku-wrong a process keeps the pins: /'
systemctl stop kiln-agent.service
umount -l /sys/fs/bpf || echo "ku-wrong unmounting the pins"
at end
sleep 1
$agent status | sed 's/^/ku-status /'
cat /var/log/ku/*
journalctl -q -o cat --no-pager -t service -t '(service)' | grep '^ku'
journalctl -q -o cat --no-pager | grep -a 'Failed at step\|Failed to set up\|: Failed to' | sort | uniq -c | sed 's/^/ku-journal /' | head -n 300
cat /kiln/events
echo units-end
sleep 3
systemctl poweroff --force --force
