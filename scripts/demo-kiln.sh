# Kiln's own steps that the demo and the examples share. Sourced by demo-lib.sh.

# begin FOLDER: where everything goes (`work`, with `logs` in it), and what ends with the script.
begin() {
	[ "$(id -u)" = 0 ] || die "run as root: the root file system keeps its owners and modes"
	mkdir -p "$1/logs"
	work=$(cd "$1" && pwd)
	logs=$work/logs
	trap cleanup EXIT
	trap 'exit 130' INT TERM
	export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1767225600}
}
keep=no
pos_pid=
cleanup() {
	[ "$keep" = yes ] && [ "$failures" = 0 ] && return
	vm_stop_all
	[ -n "$pos_pid" ] && kill "$pos_pid" 2>/dev/null && wait "$pos_pid" 2>/dev/null
}

# programs: builds kiln, kiln-pos and the static agent, or takes them from KILN_BIN; sets `kiln`, `kiln_pos`, `agent`.
programs() {
	if [ -z "${KILN_BIN:-}" ]; then
		say "installing what is missing"
		run "$logs/setup.log" scripts/setup
		say "building kiln and kiln-pos (minutes on the first run)"
		run "$logs/build.log" cargo build --locked --bin kiln --bin kiln-pos
		say "building the static agent"
		run "$logs/build-agent.log" scripts/build-agent
		agent=$(tail -n 1 "$logs/build-agent.log")
		KILN_BIN=${CARGO_TARGET_DIR:-$repository/target}/debug
	else
		agent=$KILN_BIN/kiln-agent
	fi
	kiln=$KILN_BIN/kiln
	kiln_pos=$KILN_BIN/kiln-pos
	for program in "$kiln" "$kiln_pos" "$agent"; do
		[ -x "$program" ] || die "$program is missing"
	done
	say "$("$kiln" --version), agent of $(du -k "$agent" | cut -f1) KiB"
}

# debian [PACKAGE]...: a Debian root file system with systemd, nginx and these packages, in $work/rootfs, with the console
# through which `guest` speaks; sets `kernel`.
debian() {
	run "$logs/rootfs.log" image-fixtures/rootfs.sh bookworm "$@"
	local rootfs
	rootfs=$(tail -n 1 "$logs/rootfs.log")
	rm -rf "$work/rootfs"
	cp -a --reflink=auto "$rootfs" "$work/rootfs" || die "cannot copy $rootfs"
	add image-fixtures/demo
	kernel=$(ls "$work"/rootfs/boot/vmlinuz-* | head -n 1)
}
# add FOLDER: puts what is in it into the root file system, as root's.
add() { cp -R -P --no-preserve=ownership "$1/." "$work/rootfs/" || die "cannot add the files of $1"; }

# statements POLICY: one statement a line.
statements() { awk '{ s = s $0; if (/[;{}]$|^ *#|^$/) { print s; s = "" } } END { printf "%s", s }' "$1"; }

# reasoned POLICY: whether each rule says why it is there; sets `rules`.
reasoned() {
	rules=$(statements "$1" | grep -cE '^ +(allow|deny) ')
	[ "$rules" -gt 0 ] && [ "$rules" = "$(statements "$1" | grep -cE '^ +(allow|deny) .* because ')" ]
}

# signed NAME SERIAL POLICY: compiles the policy to $work/NAME-SERIAL.tables and signs it with the key of the build.
signed() {
	"$kiln" compile "$3" -o "$work/$1-$2.tables" --serial "$2" --kernel 6.1 | quote
	"$kiln" sign "$work/$1-$2.tables" --key "$work/keys/policy.key" --name "$1" | quote
}

# bake NAME TARGET [OPTION]...: bakes version 1; where there is a POS, with its address, and with trust in its keys.
bake() {
	local name=$1 target=$2 with=()
	shift 2
	[ -z "$pos_pid" ] || with=(--trust "$work/pos" --pos "https://10.0.2.2:$pos_port")
	"$kiln" bake "$target" --policy "$work/$name-1.tables" --source "$work/$name.pdl" --trust "$work/keys" "${with[@]}" \
		--agent "$agent" "$@"
}
# bake_disk NAME: makes $work/plain.raw of the root file system and bakes it into $work/disk.raw; sets `image`, its id.
bake_disk() {
	rm -f "$work"/*.raw
	run "$logs/disk.log" image-fixtures/raw-disk.sh "$work/rootfs" "$work/plain.raw"
	bake "$1" "$work/plain.raw" --output "$work/disk.raw" >"$logs/bake-disk.log" 2>&1 || {
		cat "$logs/bake-disk.log" >&2
		die "baking the disk failed"
	}
	tail -n 1 "$logs/bake-disk.log" | quote
	image=$(grep -o 'image sha256:[0-9a-f]*' "$logs/bake-disk.log" | cut -d' ' -f2)
}

# ---- the POS ----------------------------------------------------------------------------------------------------
# pos_start: a kiln-pos of its own in $work/pos; sets `pos`, `pos_port`, `operator`.
pos_start() {
	rm -rf "$work/pos"
	pos_port=$(free_port)
	"$kiln_pos" serve --data "$work/pos" --listen "127.0.0.1:$pos_port" --name 10.0.2.2 >"$logs/pos.out" 2>"$logs/pos.log" &
	pos_pid=$!
	pos=https://127.0.0.1:$pos_port
	operator=$work/pos/operator
	until_true 30 grep -q listening "$logs/pos.out" || die "kiln-pos did not start (log: $logs/pos.log)"
	say "kiln-pos listens on $pos; the image will trust its keys"
}
status() { "$kiln" status --pos "$pos" --identity "$operator" "$@" 2>&1; }
violations() { "$kiln" violations --pos "$pos" --identity "$operator" "$@" 2>&1; }
# deploy NAME JOIN: registers the disk's image under the name; JOIN gets a join token for one machine.
deploy() {
	"$kiln" deploy "$work/disk.raw" --pos "$pos" --identity "$operator" --name "$1" --join-out "$2" \
		--agent-url "https://10.0.2.2:$pos_port" 2>&1 | quote
}
# publish TABLES: assigns them to every machine of the image `image`.
publish() { "$kiln" publish "$1" --image "$image" --pos "$pos" --identity "$operator" 2>&1; }

# enforce COUNT SERIAL: within a minute COUNT machines enforce what is assigned, and the evidence of each is for SERIAL.
enforce() {
	local log=$logs/status-$2.log
	status --wait 60 --instances "$1" --evidence >"$log" &&
		[ "$(grep -c "^  serial     $2, kernel" "$log")" = "$1" ] &&
		[ "$(grep -c '^  sentinel   pid' "$log")" = "$1" ] && grep -q '^  program ' "$log"
}
