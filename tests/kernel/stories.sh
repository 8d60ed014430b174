# What the stories call. Each story begins with nothing loaded and its own policies: NAME.a.pdl has serial 1, b 2 ...

agent=/usr/lib/kiln/kiln-agent
slice=/sys/fs/cgroup/system.slice

# begin STORY: a machine that has never seen a policy.
begin() {
	story=$1
	begun=$(sed 's/[. ].*//' /proc/uptime)
	agent=/usr/lib/kiln/kiln-agent
	echo "kt-story $story begins"
	rm -rf /var/lib/kiln /run/kiln /tmp/kt /kiln/events
	mkdir -p /var/lib/kiln "$slice"
	mkdir -m 1777 /tmp/kt
	: >/kiln/events
	cd /
}

end() {
	stop_watching
	$agent unload >/dev/null 2>&1
	echo "kt-took $story $(($(sed 's/[. ].*//' /proc/uptime) - begun))"
	echo "kt-story $story ends"
}

# load POLICY: as at boot, from the image's place.
load() {
	cp "/kiln/stories/$story.$1.tables" /usr/lib/kiln/policy.tables
	cp "/kiln/stories/$story.$1.dsse.json" /usr/lib/kiln/policy.dsse.json
	$agent load >/kiln/load.log 2>&1
	loaded=$?
	[ $loaded = 0 ] || cat /kiln/load.log
	return $loaded
}

# update POLICY [OPTION]...
update() {
	policy=$1
	shift
	$agent update --tables "/kiln/stories/$story.$policy.tables" --signature "/kiln/stories/$story.$policy.dsse.json" "$@" >/kiln/update.log 2>&1
}

watch_events() {
	rm -f /run/kiln/agent.sock
	$agent run >>/kiln/events 2>>/kiln/agent.log &
	watcher=$!
	echo $watcher >/kiln/agent.pid
	# It is there when its socket is.
	waited=0
	while [ ! -S /run/kiln/agent.sock ] && [ $waited -lt 100 ]; do
		sleep 0.1
		waited=$((waited + 1))
	done
}

stop_watching() {
	[ -n "${watcher:-}" ] || return 0
	kill "$watcher" 2>/dev/null
	wait "$watcher" 2>/dev/null
	watcher=
}

# try UNIT ATTACK [ARGUMENT]...: how it ended (worked, refused EPERM ...).
try() {
	unit=$1
	shift
	/kt/kt run --case "$story" --phase story --unit "$slice/$unit" -- "$@" | sed -n 's/^kt-result [^ ]* [^ ]* [^ ]* \([^ ]*\) \([^ ]*\) .*/\1 \2/p'
}

# free_as USER ATTACK [ARGUMENT]...: the same outside of every unit. free: by root.
free_as() {
	user=$1
	shift
	/kt/kt run --case "$story" --phase story --user "$user" -- "$@" | sed -n 's/^kt-result [^ ]* [^ ]* [^ ]* \([^ ]*\) \([^ ]*\) .*/\1 \2/p'
}
free() { free_as root "$@"; }

# check TEXT COMMAND...: a claim, and the command that holds if it is true.
check() {
	claim=$1
	shift
	if "$@"; then
		echo "kt-check $story ok $claim"
	else
		echo "kt-check $story failed $claim"
	fi
}

# is EXPECTED COMMAND...: the command's output, whole.
is() {
	expected=$1
	shift
	got=$("$@")
	[ "$got" = "$expected" ] || {
		echo "expected '$expected', got '$got'"
		return 1
	}
}

# exits STATUS COMMAND...
exits() {
	expected=$1
	shift
	"$@"
	got=$?
	[ $got = "$expected" ] || {
		echo "expected exit status $expected, got $got"
		cat /kiln/update.log 2>/dev/null
		return 1
	}
}

# until SECONDS COMMAND...: holds within that time.
until_holds() {
	left=$(($1 * 10))
	shift
	while ! "$@"; do
		left=$((left - 1))
		[ $left -gt 0 ] || return 1
		sleep 0.1
	done
}

# reported TEXT: some report contains it.
reported() {
	grep -q "$1" /kiln/events
}

# ended PROCESS-OUTPUT-FILE EXPECTED: what a background try wrote.
ended() {
	is "$2" cat "$1"
}

# in_force SERIAL: the policy that is enforced, not the one before it.
in_force() {
	$agent status | grep -q "^enforcing .* serial $1 "
}

# status FIELD-TEXT: the agent's own account has it.
status_has() {
	$agent status | grep -q "$1"
}
