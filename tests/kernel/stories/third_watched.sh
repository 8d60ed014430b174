# disk: ext4
# cpus: 1
# An agent that somebody stops is noticed: it says that it lives as often as its unit asks for.
hears() {
	/kt/kt run --case "$story" --phase story -- hears "$@" | sed -n 's/^kt-result [^ ]* [^ ]* [^ ]* \([^ ]*\) \([^ ]*\) .*/\1 \2/p'
}
check "the policy loads" load a
hears /tmp/kt/first WATCHDOG=1 >/tmp/kt/heard &
until_holds 10 test -S /tmp/kt/first
export NOTIFY_SOCKET=/tmp/kt/first WATCHDOG_USEC=2000000
watch_events
unset NOTIFY_SOCKET WATCHDOG_USEC
check "it says so" until_holds 10 test -s /tmp/kt/heard
check "in those words" ended /tmp/kt/heard "worked -"
rm -f /tmp/kt/first
check "and again" is "worked -" hears /tmp/kt/first WATCHDOG=1
mkdir -p "$slice/kt.service"
echo "$watcher" >"$slice/kt.service/cgroup.procs"
echo 1 >"$slice/kt.service/cgroup.freeze"
until_holds 10 grep -q "frozen 1" "$slice/kt.service/cgroup.events"
rm -f /tmp/kt/first
hears /tmp/kt/first WATCHDOG=1 >/tmp/kt/silence &
sleep 5
check "who is stopped does not" test ! -s /tmp/kt/silence
kill -9 "$watcher"
check "systemd's answer ends it all the same" until_holds 10 test ! -d "/proc/$watcher"
echo 0 >"$slice/kt.service/cgroup.freeze"
wait "$watcher" 2>/dev/null
watcher=
for listener in $(pidof kt); do kill -9 "$listener"; done
check "another begins" $agent load
