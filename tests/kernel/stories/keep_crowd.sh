# Whoever is preempted within a hook holds a scratch; another unit works and starts meanwhile.
# append: preempt=full
# concurrent
check "the policy loads" load a
check "the victim is bound" is "refused EPERM" try victim0.service exec /kt/denied
deep=/tmp/kt
for n in $(seq 100); do deep=$deep/kkkkkkkkkkkkkkkkkkkkkkkkkkkkk; done
mkdir -p "$deep"
echo x >"$deep/f"
try kt.service crowd 64 /tmp/kt/stop "$deep/f" >/tmp/kt/crowd &
check "they crowd" until_holds 60 test -e /tmp/kt/stop.on
sleep 2
for n in 1 2 3 4 5 6; do
	check "a unit that starts meanwhile is bound ($n)" is "refused EPERM" try victim$n.service exec /kt/denied
done
touch /tmp/kt/stop
wait
