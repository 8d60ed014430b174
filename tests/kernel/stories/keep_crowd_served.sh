# As keep_crowd: and nobody is refused for it. On 6.1 one permitted read of six was refused once (SECURITY.md): its helper of task
# storage says "busy" while another task is preempted within it.
# kernels: 6.12
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
	check "a unit from before may what it may ($n)" is "worked -" try victim0.service read /etc/passwd
done
touch /tmp/kt/stop
wait
check "the crowd was served" is "worked -" cat /tmp/kt/crowd
