# More cgroups than there are places for their marks: who is bound is bound, and nobody else.
some() { seq 1 97 1200; }
all() { seq 1 1200; }
check "the policy loads" load a
check "the unit is there" is "refused EPERM" try kt.service exec /kt/denied
# One process for all of them: a thousand would take minutes.
groups() {
	all | sed "s,.*,$slice/kt.service/b& $slice/free&.service,"
}
make() {
	mkdir -p $(groups)
}
look() {
	for n in $(some); do
		check "$1: b$n is bound" is "refused EPERM" try "kt.service/b$n" exec /kt/denied
		check "$1: b$n may what the unit may" is "worked -" try "kt.service/b$n" exec /kt/ok
		check "$1: free$n is not bound" is "worked -" try "free$n.service" exec /kt/denied
	done
}
deep=kt.service
for n in $(seq 70); do
	deep=$deep/d
done
mkdir -p "$slice/$deep"
make
look first
check "seventy below the unit is bound" is "refused EPERM" try "$deep" exec /kt/denied
rmdir $(groups)
check "another unit is not bound" is "worked -" try other.service exec /kt/denied
make
look again
rmdir $(groups)
