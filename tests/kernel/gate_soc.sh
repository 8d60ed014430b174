# Part of the guest's script: a SOC that is down, fails, hangs and recovers, and a gate that dies in between.

soc=/tmp/soc
mkdir "$soc"
: >"$soc/requests"
: >"$soc/entries"

# soc_events FROM TO: one action each, of processes p FROM to p TO.
soc_events() {
	for n in $(seq "$1" "$2"); do
		event 0 1 critical quarantine write /etc/shadow | sed "s/\"comm\":\"sleep\"/\"comm\":\"p$n\"/"
	done
}
# soc_gate NUMBER: a gate that reads what is written to descriptor 9.
soc_gate() {
	rm -f "$soc/in"
	mkfifo "$soc/in"
	gate --enforcement-backends soc --soc-endpoint http://127.0.0.1:8099/in --soc-spool "$soc/spool" \
		--soc-timeout-seconds 5 <"$soc/in" >"$soc/out.$1" 2>"$soc/err.$1" &
	soc_pid=$!
	exec 9>"$soc/in"
}
# until_true COMMAND...: waits until it is, or for two minutes.
until_true() {
	for _ in $(seq 600); do
		"$@" && return 0
		sleep 0.2
	done
	return 1
}
lines() { [ "$(wc -l <"$1")" -ge "$2" ]; }
seen() { grep -q "$1" "$soc/requests"; }
distinct() { cut -d' ' -f"$1" "$soc/entries" | sort -u | wc -l; }
all_there() { [ "$(distinct 1)" -ge 120 ]; }

soc_gate 1
soc_events 1 40 >&9
check soc-down-spooled until_true lines "$soc/out.1" 40
echo fail >"$soc/mode"
systemd-run -q --unit=soc /usr/bin/perl /kiln/soc.pl 8099 "$soc"
check soc-failed until_true seen fail
echo hang >"$soc/mode"
soc_events 41 80 >&9
check soc-hung until_true seen hang
check soc-busy-spooled until_true lines "$soc/out.1" 80
# `gate` is a function, so the process is a child of what runs in the background.
pkill -9 -P "$soc_pid"
kill -9 "$soc_pid" 2>/dev/null
wait "$soc_pid"
exec 9>&-
check soc-nothing-taken is "$(wc -l <"$soc/entries")" 0

soc_gate 2
soc_events 81 120 >&9
echo ok >"$soc/mode"
check soc-recovered until_true all_there
exec 9>&-
wait "$soc_pid"
check soc-exit is $? 0
check soc-events is "$(seq 120 | sed 's/^/p/' | sort)" "$(cut -d' ' -f1 "$soc/entries" | sort -u)"
check soc-ids is "$(distinct 2)" 120

# What was acknowledged is not posted again.
before=$(wc -l <"$soc/requests")
soc_gate 3
exec 9>&-
wait "$soc_pid"
check soc-quiet is "$(wc -l <"$soc/requests")" "$before"
