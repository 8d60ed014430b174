# An operator puts one unit into audit mode: for a time its profile only reports. Its guards and every other unit stay
# enforced, with an agent or without; what is done is told, and show, ps and explain say what is in force.
echo x >/tmp/kt/file
echo x >/tmp/kt/secret
mkdir /tmp/kt/at
audit() { $agent audit "$@" >/kiln/update.log 2>&1; }
shown() { $agent show "$1" | grep -q "$2"; }
listed() { $agent ps | grep -q "$1"; }
told() { until_holds 10 reported "\"operation\":\"$1\",\"done\":$2,\"by\":\"$3\""; }
denied() { grep '"verdict":"denied"' /kiln/events | grep "$1" | tail -1 | $agent explain - | grep -q "$2"; }
sethostname() { try "$1" hostname; }
check "the policy loads" load a
watch_events
check "a file is refused" is "refused EPERM" try kt-a.service read /tmp/kt/file
check "the event names the unit" until_holds 10 reported '"object":"/tmp/kt/file".*"unit":"kt-a.service"'
check "it is explained: what was asked" denied /tmp/kt/file "of kt-a.service, user 0, subject kt_a|kt_everywhere: read /tmp/kt/file"
check "and what permits it" denied /tmp/kt/file 'allow read "/tmp/kt/file";'
check "show has a rule" shown kt-a.service 'deny exec "/kt/denied" then quarantine because control "kt/1";'
check "show has the guards" shown kt-a.service '^guard kt_everywhere, mode enforce, unit \*.service'
check "show has another unit's profile not" exits 1 shown other.service '^profile '
check "a unit without a profile is not put into audit mode" exits 1 audit other.service --for 1m
check "nor for ever" exits 2 audit kt-a.service --for 25h
check "nor by itself" is "refused EPERM" try kt-a.service command $agent audit kt-a.service --for 1m
check "an operator puts it into audit mode" exits 0 audit kt-a.service --for 1h
check "that is told, by whom" told audit true operator
check "the status says so" status_has '^audit      kt-a.service until '
check "show too" shown kt-a.service '^audit      kt-a.service until '
check "the file is read" is "worked -" try kt-a.service read /tmp/kt/file
check "that is reported" until_holds 10 reported '"verdict":"would_deny".*"object":"/tmp/kt/file","mode":"audit"'
check "a capability is used" is "worked -" sethostname kt-a.service
check "an address is connected to" is "worked -" try kt-a.service tcp 127.0.0.1 7001
check "who would be quarantined is not" is "worked -" try kt-a.service exec /kt/denied
check "nobody is" exits 1 status_has '^quarantine '
check "what its guard refuses stays refused" is "refused EPERM" try kt-a.service read /tmp/kt/secret
check "also by another name" is "refused EPERM" try kt-a.service bound rename /tmp/kt /tmp/kt/at secret open
check "another unit of the profile is enforced" is "refused EPERM" try kt-b.service read /tmp/kt/file
check "and its capability" is "refused EPERM" sethostname kt-b.service
check "one unit at a time" exits 1 audit kt-b.service --for 1m
try kt-a.service wait-then-exec /tmp/kt/go /kt/ok >/tmp/kt/wait.out &
check "ps has its process, in its mode" until_holds 10 listed 'kt-a.service *kt_a *audit '
touch /tmp/kt/go
wait %2 2>/dev/null || until_holds 10 test -s /tmp/kt/wait.out
rmdir "$slice/kt-a.service" 2>/dev/null
check "a unit that begins anew is meant still" is "worked -" try kt-a.service read /tmp/kt/file
check "a confined process does not end it for another" is "refused EPERM" try kt-b.service command $agent audit kt-a.service --end
check "the operator ends it" exits 0 audit kt-a.service --end
check "that is told" told audit_end true operator
check "it is enforced again" is "refused EPERM" try kt-a.service read /tmp/kt/file
# Without an agent the kernel ends it by the clock.
stop_watching
check "no agent is needed" exits 0 audit kt-a.service --for 5s
check "it is in audit mode" is "worked -" try kt-a.service read /tmp/kt/file
sleep 6
check "it ended by itself" is "refused EPERM" try kt-a.service read /tmp/kt/file
check "and the status knows" exits 1 status_has '^audit '
watch_events
check "a new agent tells the end" told audit_end true agent
# A new policy ends it. Who was in quarantine while it came gets what it has for him when he is released.
echo x >/tmp/kt/bait
check "a unit is caught" is "refused EPERM" try kg.service caught-exec /tmp/kt/bait /kt/ok
check "once more" exits 0 audit kt-a.service --for 1h
check "a policy comes" update b
check "that is told" told update true operator
check "it is enforced by that" is "refused EPERM" try kt-a.service read /tmp/kt/file
check "show says what changed" shown kt-a.service '^  - kt_a: deny exec "/kt/denied" then quarantine$'
check "who was caught is released" exits 0 $agent release kg.service
check "that is told" told release true operator
check "he may do what the new profile says" is "worked -" try kg.service exec /kt/ok
check "and no more" is "refused EPERM" try kg.service exec /kt/denied
# The image may forbid it.
stop_watching
echo '{"operator_audit":"refuse"}' >/usr/lib/kiln/agent.json
check "an image that forbids it" exits 1 audit kt-a.service --for 1m
rm /usr/lib/kiln/agent.json
check "it is enforced" is "refused EPERM" try kt-a.service read /tmp/kt/file
