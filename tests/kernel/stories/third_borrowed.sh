# disk: ext4
# cpus: 1
# What the agent's program may under a guard of the whole host, nobody may by running it.
free() {
	/kt/kt run --case "$story" --phase story --user nobody -- "$@" | sed -n 's/^kt-result [^ ]* [^ ]* [^ ]* \([^ ]*\) \([^ ]*\) .*/\1 \2/p'
}
check "without a policy it works" is "worked -" free borrow /kt/ok
check "by the agent's program, too" is "worked -" free borrow "$agent"
check "the policy loads" load a
check "then it is refused" is "refused EPERM" free borrow /kt/ok
check "by the agent's program, too" is "refused EPERM" free borrow "$agent"
check "the agent works" $agent status
check "and loads again" $agent load
