# Runs in the guest: what the system calls cost, in the configuration that the kernel was booted with.
mkdir -p /var/lib/kiln /usr/share/nginx/html/css /sys/fs/cgroup/system.slice
echo page >/usr/share/nginx/html/css/style.css1
chmod 755 /kiln/cost
# 6.12 still does work of its own for a few seconds after boot.
sleep 5
tell() { sed "s/^cost /cost $1 /"; }
if [ -e /usr/lib/kiln ]; then
	/usr/lib/kiln/kiln-agent load || exit 1
	/kiln/cost | tell kiln-unconfined
	/kiln/cost --unit /sys/fs/cgroup/system.slice/kiln-cost.service | tell kiln-confined
elif [ -e /sys/kernel/security/apparmor ]; then
	cat /kiln/apparmor.bin >/sys/kernel/security/apparmor/.replace
	/kiln/cost | tell apparmor-unconfined
	/kiln/cost --profile kiln_cost | tell apparmor-confined
else
	/kiln/cost | tell base
fi
