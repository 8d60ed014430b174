# The first part of the guest's script: what the lines below it call.

mkdir -p /sys/fs/cgroup/system.slice /var/lib/kiln /home /root
# The mount points of attacks that make a sandbox of their own: in one already, most can make no folder.
mkdir -p /run/kt-private/tmp /run/kt-root
chmod 700 /run/kt-private
chmod 1777 /run/kt-private/tmp
sandbox=
# The name server of attacks that have one.
mkdir -p /etc
echo nameserver 127.0.0.53 >/etc/resolv.conf

# attack CASE PHASE USER UNIT ATTACK [ARGUMENT]...
attack() {
	name=$1 phase=$2 user=$3 unit=$4
	shift 4
	cd /
	# A path that is too long for rm goes aside.
	rm -rf /tmp/kt 2>/dev/null || mv /tmp/kt "/tmp/aside.$$.$name.$phase.$user"
	mkdir -m 1777 /tmp/kt
	# SCTP tells its peer all addresses of the machine, so what another case added must be gone.
	case $name in sctp_*) for link in lo dummy0; do ip addr flush dev $link scope global 2>/dev/null; done ;; esac
	(set -e; "setup_$name") || echo "kt-setup $name failed"
	if [ -n "$unit" ]; then
		set -- --unit "/sys/fs/cgroup/system.slice/$unit" -- "$@"
	else
		set -- -- "$@"
	fi
	/kt/kt run --case "$name" --phase "$phase" --user "$user" ${sandbox:-} "$@"
}

# The same in a mount namespace with a /tmp of its own; the unit's process is sandboxed beyond that by `kt run`.
attack_in_sandbox() {
	/kt/kt private /bin/sh /kiln/script in-sandbox "$@"
}

# within_sandbox [in-sandbox CASE PHASE USER UNIT ATTACK [ARGUMENT]...]: what that runs there.
within_sandbox() {
	[ "${1:-}" = in-sandbox ] || return 0
	shift
	sandbox=--sandbox
	attack "$@"
	exit 0
}

agent=/usr/lib/kiln/kiln-agent

# What the agent reports goes to a file; the serial line is slow, so it is told last.
watch() {
	$agent run >>/kiln/events 2>>/kiln/agent.log &
	echo $! >/kiln/agent.pid
	# It is at work, and known to the kernel programs, when its socket is there.
	waited=0
	while [ ! -S /run/kiln/agent.sock ] && [ $waited -lt 200 ]; do
		sleep 0.1
		waited=$((waited + 1))
	done
}

load_policy() {
	echo kt-phase load
	$agent load && echo kt-loaded
	watch
}

# update_policy NAME: a live update, with what was labelled before still labelled.
update_policy() {
	echo "kt-phase $1"
	kill "$(cat /kiln/agent.pid)"
	wait
	rm -f /run/kiln/agent.sock
	$agent update --tables "/usr/lib/kiln/$1.tables" --signature "/usr/lib/kiln/$1.dsse.json" && echo kt-loaded
	watch
}

tell_events() {
	echo kt-phase events
	sleep 2
	$agent status
	cat /kiln/agent.log
	sed 's/^{"schema":"kiln.violation.v1"/kt-event &/' /kiln/events
}

