# What scripts/demo and examples/*/run are made of: progress and observations here, Kiln's own steps in demo-kiln.sh,
# virtual machines in demo-vm.sh. Sourced, not run; who sources it sets `repository`, `steps` and `talk`.

. "$repository/scripts/demo-kiln.sh"
. "$repository/scripts/demo-vm.sh"

# ---- telling ----------------------------------------------------------------------------------------------------
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
	bold=$(printf '\033[1m') green=$(printf '\033[32m') red=$(printf '\033[31m') dim=$(printf '\033[2m') plain=$(printf '\033[0m')
else
	bold='' green='' red='' dim='' plain=''
fi
step_number=0
failures=0
proofs=0

step() {
	step_number=$((step_number + 1))
	printf '\n%s[%d/%d] %s%s\n' "$bold" "$step_number" "$steps" "$1" "$plain"
}
say() { [ "$talk" = no ] || printf '      %s\n' "$*"; }
quote() {
	[ "$talk" = yes ] || {
		cat >/dev/null
		return
	}
	sed "s/^/      ${dim}| /; s/\$/${plain}/"
}

# proof WHAT COMMAND...: the command must succeed. All proofs are tried; the demo fails if one did.
proof() {
	what=$1
	shift
	proofs=$((proofs + 1))
	if "$@"; then
		printf '   %sok%s  %s\n' "$green" "$plain" "$what"
	else
		failures=$((failures + 1))
		printf ' %sFAIL%s  %s\n' "$red" "$plain" "$what"
	fi
}
die() {
	printf '\n%serror%s: %s\n' "$red" "$plain" "$*" >&2
	exit 1
}

# run LOG COMMAND...: quiet, with a clock where somebody watches; the log is shown if it fails.
run() {
	log=$1
	shift
	if [ -t 2 ]; then
		"$@" >"$log" 2>&1 &
		task=$!
		started=$SECONDS
		while kill -0 "$task" 2>/dev/null; do
			printf '\r      %3ds  %.70s\033[K' $((SECONDS - started)) "$(tail -n 1 "$log" 2>/dev/null | tr -d '\r' | cut -c1-70)" >&2
			sleep 0.5
		done
		printf '\r\033[K' >&2
		wait "$task" && return
	else
		"$@" >"$log" 2>&1 && return
	fi
	tail -n 30 "$log" >&2
	die "failed: $* (log: $log)"
}

# until_true SECONDS COMMAND...: waits until the command succeeds.
until_true() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 1
	done
}

free_port() {
	local port
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		port=$((20000 + RANDOM % 20000))
		if ! (exec 9<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
			echo "$port"
			return
		fi
	done
	die "no free port on 127.0.0.1"
}

# fetch PORT PATH: status line and body of an HTTP answer, without curl.
fetch() {
	local line
	exec 8<>"/dev/tcp/127.0.0.1/$1" || return 1
	printf 'GET %s HTTP/1.0\r\nHost: demo\r\n\r\n' "$2" >&8
	while IFS= read -r -t 10 -u 8 line; do printf '%s\n' "${line%$'\r'}"; done
	exec 8<&- 8>&-
}
# serves PORT PATH TEXT: the page is there and holds the text.
serves() {
	local page
	page=$(fetch "$1" "$2" 2>/dev/null)
	[[ $page == *"$3"* ]]
}
not() { ! "$@"; }

# usage: the comment at the top of the script that runs, and exit status 2.
usage() {
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

# finish: how many observations hold, and the exit status that follows.
finish() {
	printf '\n%d of %d observations hold.\n' $((proofs - failures)) "$proofs"
	[ "$failures" = 0 ]
	exit
}
