# The operator's way out is not one for root inside a confined unit.
check "the policy loads" load a
watch_events
check "a second policy comes" update b
check "a confined root does not unload" is "refused EPERM" try kt.service command $agent unload
check "nor go back" is "refused EPERM" try kt.service command $agent revert
check "nor take an update" is "refused EPERM" try kt.service command $agent update --tables /kiln/stories/way_out.c.tables --signature /kiln/stories/way_out.c.dsse.json
check "nor reach the agent's socket" is "refused EPERM" try kt.service unix-existing /run/kiln/agent.sock
stop_watching
check "nor with the agent gone: unload" is "refused EPERM" try kt.service command $agent unload
check "nor load" is "refused EPERM" try kt.service command $agent load
check "version 2 is in force" in_force 2
check "and enforced" is "refused EPERM" try kt.service read /etc/passwd
check "the operator unloads" $agent unload
check "and nothing is enforced" is "worked -" try kt.service read /etc/passwd
