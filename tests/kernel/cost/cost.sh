# Runs in the guest: what the system calls cost, in the configuration that the kernel was booted with.
mkdir -p /var/lib/kiln /var/lib/nginx /usr/share/nginx/html/css /sys/fs/cgroup/system.slice
echo page >/usr/share/nginx/html/css/style.css1
chmod 755 /kiln/cost
# As many control groups as a server has. What they take of the kernel's per-CPU memory is more than its first chunk has:
# a process that gets its share from a later chunk, as on any machine in use, pays more for it, whatever else is loaded.
for n in $(seq 64); do
	mkdir "/sys/fs/cgroup/system.slice/other$n.service"
done
# 6.12 still does work of its own for a few seconds after boot.
sleep 5
tell() { sed "s/^cost /cost $1 /"; }
# All in a control group of the same depth: the kernel's own accounting of groups (memory, pressure) is nobody's cost.
free=/sys/fs/cgroup/system.slice/free.service
bound=/sys/fs/cgroup/system.slice/kiln-cost.service
# The first process that measures has what the allocators had left from before, and no later one has.
/kiln/cost --unit $free >/dev/null
if [ -e /usr/lib/kiln ]; then
	/kiln/cost --unit $free | tell kiln-idle
	/usr/lib/kiln/kiln-agent load >/dev/null || exit 1
	/kiln/cost --unit $free | tell kiln-unconfined
	/kiln/cost --unit $bound | tell kiln-confined
	/kiln/cost --programs yes --unit $free | tell kiln-unconfined
	/kiln/cost --programs yes --unit $bound | tell kiln-confined
	# A task that left its unit bears its label, and from then on each task is looked at itself.
	/kiln/cost --unit $bound --leave $free | tell kiln-bearer
	/kiln/cost --unit $free | tell kiln-unconfined-later
elif [ -e /sys/kernel/security/apparmor ]; then
	cat /kiln/apparmor.bin >/sys/kernel/security/apparmor/.replace
	/kiln/cost --unit $free | tell apparmor-unconfined
	/kiln/cost --unit $free --profile kiln_cost | tell apparmor-confined
elif grep -q landlock /sys/kernel/security/lsm 2>/dev/null; then
	/kiln/cost --unit $free | tell landlock-unconfined
	/kiln/cost --unit $free --landlock 0 | tell landlock-confined
else
	/kiln/cost --unit $free | tell base
fi
