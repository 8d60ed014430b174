# An agent that does not know the maps that are in force leaves them in force, and says so.
check "the policy loads" load a
check "a denial is refused" is "refused EPERM" try kt.service exec /kt/denied
mv /sys/fs/bpf/kiln/maps/kiln_groups /sys/fs/bpf/kiln/maps/kiln_groups_of_another
says() { $agent load 2>&1 | grep -q "by a kiln-agent of another build"; }
check "an agent that lacks one says so" says
check "with the exit code for it" exits 12 $agent load
check "and what was refused is refused" is "refused EPERM" try kt.service exec /kt/denied
mv /sys/fs/bpf/kiln/maps/kiln_groups_of_another /sys/fs/bpf/kiln/maps/kiln_groups
check "the agent that knows them goes on" exits 0 $agent load
