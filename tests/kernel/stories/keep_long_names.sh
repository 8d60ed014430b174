# A unit is known by its own name and those above it, however long its path becomes.
check "the policy loads" load a
deep=
for n in 1 2 3 4 5 6 7 8; do
	deep=$deep/$(printf '%0240d' $n).slice
	mkdir -p "$slice$deep"
	check "below $n slices with long names it is bound" is "refused EPERM" try "${deep#/}/kt.service" exec /kt/denied
done
mkdir -p "$slice/x.scope"
check "a name below what is not a slice is no unit's" is "worked -" try x.scope/kt.service exec /kt/denied
mkdir -p "$slice/.slice"
check "nor below a slice without a name" is "worked -" try .slice/kt.service exec /kt/denied
