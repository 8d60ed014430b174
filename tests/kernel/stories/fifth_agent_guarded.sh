# A guard of the whole host that protects Kiln's own folders does not keep the agent from its work.
check "the policy loads" load a
check "it is in force" in_force 1
check "nobody else writes there" is "refused EPERM" free write /run/kiln/generations.json
check "an update comes" update b
check "and is in force" in_force 2
watch_events
check "the agent works" test -S /run/kiln/agent.sock
stop_watching
check "the way out is open" $agent unload
