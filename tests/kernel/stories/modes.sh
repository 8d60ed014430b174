# What is watched is reported and done; what is learned is reported and done; what kills ends who asks.
told() { grep -c "\"verdict\":\"$1\",\"profile\":\"$2\"" /kiln/events >/dev/null; }
check "the policy loads" load a
watch_events
check "what is watched is done" is "worked -" try kw.service exec /kt/denied
check "and reported" until_holds 10 told watched kt_watch
check "what nobody watches is done" is "worked -" try kw.service exec /kt/ok
check "and is the only one that is not" is 1 grep -c '"profile":"kt_watch"' /kiln/events
check "what is learned is done" is "worked -" try kl.service exec /kt/denied
check "and reported" until_holds 10 told would_deny kt_learn
check "in its mode" reported '"profile":"kt_learn".*"mode":"learn"'
check "who breaks a rule that kills is ended" is "killed 9" try kk.service exec /kt/denied
check "and it is told" until_holds 10 told denied kt_kill
check "what it may do it does" is "worked -" try kk.service exec /kt/ok
