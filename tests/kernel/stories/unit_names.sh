# A unit whose name systemd escapes, or puts a `_` before, is confined by the name that its cgroup really has.
check "the policy loads" load a
check "an escaped instance is refused" is "refused EPERM" try 'disk@dev-my\x2ddisk.service' exec /kt/denied
check "what it permits works" is "worked -" try 'disk@dev-my\x2ddisk.service' exec /kt/ok
check "the name without its escape is another unit" is "worked -" try disk@dev-myx2ddisk.service exec /kt/denied
check "a name like a controller's file is refused" is "refused EPERM" try _cpu.service exec /kt/denied
check "a name that begins with _ is refused" is "refused EPERM" try __under.service exec /kt/denied
check "the same without _ is another unit" is "worked -" try under.service exec /kt/denied
check "the same with one _ is another unit" is "worked -" try _under.service exec /kt/denied
check "each instance of a template is refused" is "refused EPERM" try 'echo@7-10.0.0.1:80-10.0.0.2:5.service' exec /kt/denied
check "another template is another unit" is "worked -" try other@1.service exec /kt/denied
