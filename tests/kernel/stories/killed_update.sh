# rounds: 14
# The agent is killed at many moments of an update: in force is the policy before or the one after, never neither.
# concurrent
cp /kt/ok /kt/a
cp /kt/ok /kt/b
# Which of the two is in force, by what it permits; the rest must agree.
in_force_is() {
	a=$(try kt.service exec /kt/a) b=$(try kt.service exec /kt/b)
	case "$a/$b" in
	"worked -/refused EPERM") echo a ;;
	"refused EPERM/worked -") echo b ;;
	*) echo "neither: $a, $b" ;;
	esac
}
one_of_both() {
	case $(in_force_is) in a | b) ;; *) in_force_is && false ;; esac
}
# The agent's own account names the serial whose policy is in force: odd ones are of a, even ones of b.
agrees() {
	serial=$($agent status | sed -n 's/^enforcing .* serial \([0-9]*\) .*/\1/p')
	[ -n "$serial" ] && case $((serial % 2))/$(in_force_is) in 1/a | 0/b) ;; *) echo "serial $serial, in force $(in_force_is)" && false ;; esac
}
check "the policy loads" load a
try kt.service storm /tmp/kt/stop /kt/denied /kt/ok >/tmp/kt/storm &
check "the storm rages" until_holds 20 test -e /tmp/kt/stop.raging
began=$(sed 's/[. ].*//' /proc/uptime)
check "an update that nobody disturbs" update b
took=$(($(sed 's/[. ].*//' /proc/uptime) - began + 1))
turn=1
while [ $turn -lt 14 ]; do
	turn=$((turn + 1))
	for policy in a b; do
		# Every other time a running agent does it, asked by the command.
		[ $((turn % 2)) = 0 ] || watch_events
		$agent update --tables /kiln/stories/$story.$policy$turn.tables --signature /kiln/stories/$story.$policy$turn.dsse.json >/kiln/update.log 2>&1 &
		updating=$!
		usleep $((took * 40000 * turn + 20000))
		if [ $((turn % 2)) = 0 ]; then
			kill -9 $updating 2>/dev/null
		else
			kill -9 $watcher
			wait $watcher 2>/dev/null
			watcher=
		fi
		wait $updating 2>/dev/null
		check "$policy$turn: one of both is in force" one_of_both
		check "$policy$turn: the denied program is refused" is "refused EPERM" try kt.service exec /kt/denied
		check "$policy$turn: loading again" exits 0 $agent load
		check "$policy$turn: the agent agrees" agrees
	done
done
touch /tmp/kt/stop
wait
check "no request saw neither policy" ended /tmp/kt/storm "refused EPERM"
