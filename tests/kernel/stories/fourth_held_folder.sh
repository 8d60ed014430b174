# Who is confined does not make an update wait by permission events (fanotify(7)) on a cgroup, which the agent opens.
check "the policy loads" load a
mkdir -p "$slice/kt.service/below"
for folder in "$slice/kt.service" "$slice" /sys/fs/cgroup; do
	try kt.service hold-folder "$folder" /tmp/kt/go >>/tmp/kt/held &
	sleep 0.5
done
update b &
changing=$!
check "an update comes all the same" until_holds 20 in_force 2
touch /tmp/kt/go
wait $changing
wait
check "the marks were refused" is "refused EPERM
refused EPERM
refused EPERM" cat /tmp/kt/held
