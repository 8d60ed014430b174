# disk: ext4
# cpus: 1
# What the agent's program may under a guard of the whole host, nobody may by running it.
check "without a policy it works" is "worked -" free_as nobody borrow /kt/ok
check "by the agent's program, too" is "worked -" free_as nobody borrow "$agent"
check "the policy loads" load a
check "then it is refused" is "refused EPERM" free_as nobody borrow /kt/ok
check "by the agent's program, too" is "refused EPERM" free_as nobody borrow "$agent"
check "the agent works" $agent status
check "and loads again" $agent load
