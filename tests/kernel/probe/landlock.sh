# The kernel's own tests of Landlock, each program as one piece of work.
limit=240
for test in /kiln/foreign/kp-*; do
	probe "${test##*/kp-}" "$test"
done
echo kt-probes-end
