# Old, badly signed and damaged policies are refused, and what is in force stays.
check "the policy loads" load a
check "an update comes" update b
check "the older one is refused as a replay" exits 11 update a
check "the same one is refused as a replay" exits 11 update b
cp "/kiln/stories/$story.c.tables" /kiln/c.tables
sed 's/\("sig": *"\)A/\1B/;t;s/\("sig": *"\)./\1A/' "/kiln/stories/$story.c.dsse.json" >/kiln/bad.dsse.json
check "the signature is another now" sh -c "! cmp -s /kiln/bad.dsse.json /kiln/stories/$story.c.dsse.json"
check "a bad signature is refused" exits 10 $agent update --tables /kiln/c.tables --signature /kiln/bad.dsse.json
check "another policy's signature is refused" exits 10 $agent update --tables /kiln/c.tables --signature "/kiln/stories/$story.b.dsse.json"
head -c 1000 /kiln/c.tables >/kiln/half.tables
check "a truncated file is refused" exits 10 $agent update --tables /kiln/half.tables --signature "/kiln/stories/$story.c.dsse.json"
check "version 2 is in force" in_force 2
check "and enforced" is "refused EPERM" try kt.service exec /kt/denied
check "the good update comes all the same" update c
check "version 3 is in force" in_force 3
