# The machine itself is refused, and no more: what nothing else binds, the journal, the operator's way in.
bait=/tmp/kt/bait
echo x >$bait
echo x >/tmp/kt/other
check "the policy loads" load a
watch_events
check "the operator is refused" is "refused EPERM" free read $bait
check "and goes on" is "worked -" free caught-exec $bait /kt/ok
check "it is reported as a refusal only" until_holds 10 reported '"action":"alert".*"subject":"|"'
for unit in systemd-journald.service systemd-logind.service ssh.service sshd.service session-3.scope user@0.service \
	kiln-agent.service init.scope; do
	check "$unit is refused" is "refused EPERM" try $unit read /tmp/kt/other
	check "$unit goes on" is "worked -" try $unit caught-exec /tmp/kt/other /kt/ok
	check "$unit goes on after" is "worked -" try $unit exec /kt/ok
done
check "nobody is in quarantine" exits 1 status_has "^quarantine "
check "a unit is put into it by the guard of the host" is "refused EPERM" try kt.service caught-exec $bait /kt/ok
check "and one whose name only begins alike" is "refused EPERM" try systemd-journals.service caught-exec /tmp/kt/other /kt/ok
check "the agent works" status_has "^quarantine kt.service since "
