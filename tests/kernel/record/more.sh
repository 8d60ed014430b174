# Sourced by record.sh where the test `administration` brings it: what administrators do beside that, as root and outside of
# every confined unit.

did mount sh -c 'mkdir -p /mnt/a && mount -t tmpfs none /mnt/a && mount --bind /etc /mnt/a && umount /mnt/a && umount /mnt/a'
did remount mount -o remount,noatime /
did module sh -c 'modprobe dummy && rmmod dummy'
did sysctl sysctl -w net.ipv4.ip_forward=1
did core-pattern sysctl -w kernel.core_pattern=core
did address sh -c 'ip address add 192.0.2.1/32 dev lo && ip address del 192.0.2.1/32 dev lo'
did clock-set sh -c 'date -s "@$(date +%s)"'
did hostname sh -c 'echo kt >/proc/sys/kernel/hostname'
did bus systemctl start dbus.service
did transient systemd-run --wait --quiet /bin/true
did transient-shell systemd-run --wait --quiet --property=PrivateTmp=yes /bin/sh -c 'id'
did property systemctl set-property --runtime nginx.service CPUWeight=50
did freeze sh -c 'systemctl freeze nginx.service && systemctl thaw nginx.service'
did reexecute systemctl daemon-reexec
did stop systemctl stop nginx
did start-again systemctl start nginx
did mask sh -c 'systemctl mask systemd-tmpfiles-clean.timer && systemctl unmask systemd-tmpfiles-clean.timer'
did devices sh -c 'udevadm trigger && udevadm settle'
did files systemd-tmpfiles --create
did messages dmesg
did processes ps -ef
did boot-journal journalctl -b -n 200
did log-restart systemctl restart systemd-journald
did nice nice -n -5 /bin/true
did root chroot / /bin/true
did namespace unshare --mount --pid --fork /bin/true
did enter sh -c 'nsenter -t "$(systemctl show -P MainPID nginx)" -m -n /bin/true'
did user-run setpriv --reuid=65534 --regid=65534 --clear-groups /bin/true
did immutable sh -c 'touch /var/tmp/kt && chattr +i /var/tmp/kt && chattr -i /var/tmp/kt && rm /var/tmp/kt'
did swap sh -c 'dd if=/dev/zero of=/var/tmp/swap bs=1M count=16 && chmod 600 /var/tmp/swap && mkswap /var/tmp/swap && swapon /var/tmp/swap && swapoff /var/tmp/swap && rm /var/tmp/swap'
did keys sh -c 'mkdir -p /root/.ssh && echo key >/root/.ssh/authorized_keys && chmod 600 /root/.ssh/authorized_keys'
did job sh -c 'mkdir -p /etc/cron.d && echo "# none" >/etc/cron.d/kt && rm /etc/cron.d/kt'
did raw perl -e 'socket(my $s, 2, 3, 1) or die $!'
did trace perl -e 'my $p = fork; if (!$p) { sleep 30; exit } syscall(101, 16, $p, 0, 0) == 0 or die $!; kill 9, $p'
sleep 3
grep -v '"profile":"!sentinel"' /kiln/events | sed -n 's/^{"schema":"kiln.violation.v1"/wrongly &/p'
# Only now: who enters nginx's unit is bound, and is refused and reported.
sh -c 'echo 0 >/sys/fs/cgroup/system.slice/nginx.service/cgroup.procs && cat /etc/shadow' >/dev/null 2>&1 || echo bound
