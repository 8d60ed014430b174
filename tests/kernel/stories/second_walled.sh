# A confined task does not shut the kernel against the agent's next programs.
check "the policy loads" load a
check "what is asked for the first time is not refused" is "worked -" try kt.service exec /kt/denied
check "it does not lock the kernel down" is "refused EPERM" try kt.service say /sys/kernel/security/lockdown confidentiality
check "an update comes" update b
check "and binds" is "refused EPERM" try kt.service exec /kt/denied
