# The first part of the guest's script: what the lines below it call.

mkdir -p /sys/fs/cgroup/system.slice

# attack CASE PHASE USER UNIT ATTACK [ARGUMENT]...
attack() {
	name=$1 phase=$2 user=$3 unit=$4
	shift 4
	cd /
	rm -rf /tmp/kt
	mkdir -m 1777 /tmp/kt
	(set -e; "setup_$name") || echo "kt-setup $name failed"
	if [ -n "$unit" ]; then
		/kt/kt run --case "$name" --phase "$phase" --user "$user" --unit "/sys/fs/cgroup/system.slice/$unit" -- "$@"
	else
		/kt/kt run --case "$name" --phase "$phase" --user "$user" -- "$@"
	fi
}

load_policy() {
	echo kt-phase load
	/kiln/kiln-agent load --tables /kiln/policy.tables && echo kt-loaded
}

tell_events() {
	:
}

