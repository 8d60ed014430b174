# Who asks decides at each request: the user as whom the thread acts, as the first user namespace has it.
for name in open root nobody denied guarded; do
	echo $name >/tmp/kt/$name
	chmod 644 /tmp/kt/$name
done
mkdir -m 755 /tmp/kt/suid
cp /kt/kt /tmp/kt/suid/kt
yes="worked -" no="refused EPERM"
check "the policy loads" load a

# Rules `by user`.
check "root by name" is "$yes" try kt.service read /tmp/kt/root
check "root is not nobody" is "$no" try kt.service read /tmp/kt/nobody
check "root is not refused" is "$yes" try kt.service read /tmp/kt/denied
for how in read-as read-effective read-thread-as read-in-userns; do
	check "$how: not root any more" is "$no" try kt.service $how 65534 /tmp/kt/root
	check "$how: nobody" is "$yes" try kt.service $how 65534 /tmp/kt/nobody
	check "$how: nobody is refused" is "$no" try kt.service $how 65534 /tmp/kt/denied
	check "$how: another user is not" is "$yes" try kt.service $how 33 /tmp/kt/denied
	check "$how: and is not nobody" is "$no" try kt.service $how 33 /tmp/kt/nobody
	check "$how: what is for all" is "$yes" try kt.service $how 33 /tmp/kt/open
done
check "root again" is "$yes" try kt.service read-again 65534 /tmp/kt/root
check "root again is not refused" is "$yes" try kt.service read-again 65534 /tmp/kt/denied

# Whoever is two users has the permissions of neither, and is refused what either is.
for how in read-files-as read-lent; do
	check "$how: not root" is "$no" try kt.service $how 65534 /tmp/kt/root
	check "$how: not nobody" is "$no" try kt.service $how 65534 /tmp/kt/nobody
	check "$how: refused what nobody is" is "$no" try kt.service $how 65534 /tmp/kt/denied
	check "$how: what is for all" is "$yes" try kt.service $how 65534 /tmp/kt/open
done
check "a worker acts as who asks it" is "$no" try kt.service read-worker-as 33 /tmp/kt/root
check "a worker is refused as who asks it" is "$no" try kt.service read-worker-as 65534 /tmp/kt/denied
check "a worker does what is for all" is "$yes" try kt.service read-worker-as 65534 /tmp/kt/open

# A set-user-id program acts as its owner.
chmod 4755 /tmp/kt/suid/kt
check "by root's program" is "$yes" try kt.service read-by-suid 65534 /tmp/kt/root
check "root's program is not refused" is "$yes" try kt.service read-by-suid 65534 /tmp/kt/denied
chown 65534 /tmp/kt/suid/kt
chmod 4755 /tmp/kt/suid/kt
check "by nobody's program" is "$no" try kt.service read-by-suid 0 /tmp/kt/root
check "nobody's program is refused" is "$no" try kt.service read-by-suid 0 /tmp/kt/denied

# Profiles and guards of some users.
check "the profile binds root" is "$no" try kr.service read /tmp/kt/root
check "and permits" is "$yes" try kr.service read /tmp/kt/open
check "it does not bind another" is "$yes" try kr.service read-as 33 /tmp/kt/root
check "and binds root as two users" is "$no" try kr.service read-files-as 33 /tmp/kt/root
check "the guard does not bind root" is "$yes" try kg.service read /tmp/kt/open
check "the guard binds nobody" is "$no" try kg.service read-as 65534 /tmp/kt/open
check "and no other unit" is "$yes" free_as nobody read /tmp/kt/open
check "a guard of a user binds everywhere" is "$no" free_as nobody read /tmp/kt/guarded
check "in a unit, too" is "$no" try kg.service read-as 65534 /tmp/kt/guarded
check "and no other user" is "$yes" free read /tmp/kt/guarded
check "a profile that a user brings" is "$no" free read-as 4000000000 /tmp/kt/root
check "and what it permits" is "$yes" free read-as 4000000000 /tmp/kt/open
check "it gives way to a unit's" is "$no" try kt.service read-as 4000000000 /tmp/kt/nobody
check "also to one that binds root alone" is "$no" try kr.service read-as 4000000000 /tmp/kt/root
check "as two users it is bound" is "$no" free read-files-as 4000000000 /tmp/kt/root
check "others are not bound" is "$yes" free read-as 33 /tmp/kt/root
