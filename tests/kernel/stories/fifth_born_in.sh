# A confined root puts nothing into the agent's cgroup: it would be counted there, and speak for the agent to systemd.
mkdir -p "$slice/agent.service" "$slice/other.service"
check "without a policy a child is born in a cgroup" is "worked -" try kt.service born-in "$slice/agent.service"
check "and makes one below it" is "worked -" try kt.service grow-below "$slice/agent.service"
check "the policy loads" load a
watch_events
mkdir "$slice/agent.service/below"
echo "$watcher" >"$slice/agent.service/cgroup.procs"
check "the agent tells where it is" $agent load
check "it is in its own" grep -q agent.service "/proc/$watcher/cgroup"
check "nobody is born there" is "killed 9" try kt.service born-in "$slice/agent.service"
check "nor below it" is "killed 9" try kt.service born-in "$slice/agent.service/below"
check "that is reported" until_holds 10 reported '"verb":"create"'
check "nobody makes one below it" is "refused EPERM" try kt.service grow-below "$slice/agent.service"
check "nobody enters one below it" is "refused EPERM" try kt.service enter-below "$slice/agent.service/below"
check "elsewhere a child is born" is "worked -" try kt.service born-in "$slice/other.service"
check "and a cgroup made" is "worked -" try kt.service grow-below "$slice/other.service"
check "where the agent is not, but above" is "worked -" try kt.service grow-below "$slice"
check "without a policy's label anybody may" is "worked -" free born-in "$slice/agent.service"
echo "$watcher" >/sys/fs/cgroup/cgroup.procs
rmdir "$slice/agent.service/below"
