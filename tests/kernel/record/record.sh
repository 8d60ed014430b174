#!/bin/bash
# Runs in the guest, started by its systemd: ordinary work under a policy that only watches. What kiln-agent reports of it
# goes to the second serial line, each event after "event ".

export PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
exec >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 raw -echo
mkdir -p /usr/lib/kiln/trust /var/lib/kiln /run/kiln
mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
cd /kiln && cp policy.tables policy.dsse.json kiln-agent /usr/lib/kiln/ && cp policy.pub /usr/lib/kiln/trust/
agent=/usr/lib/kiln/kiln-agent
$agent load || exit 1
$agent run >/kiln/events 2>/kiln/agent.log &
for _ in $(seq 600); do
	[ -S /run/kiln/agent.sock ] && break
	sleep 0.2
done

# did WHAT COMMAND...: a piece of work that has to succeed, so that the recording is of it.
did() {
	what=$1
	shift
	if "$@" >/dev/null 2>/tmp/errors; then echo "did $what"; else echo "failed $what: $(head -c 300 /tmp/errors)"; fi
}

did install dpkg -i /kiln/greeter_1.deb
did upgrade dpkg -i /kiln/greeter_2.deb
did configure dpkg --configure -a
did verify dpkg -V
did libraries ldconfig
did start systemctl start nginx
did user useradd -m -s /bin/bash alice
did password sh -c 'echo alice:correct-horse | chpasswd'
did group usermod -aG adm alice
did login su - alice -c 'ls -la ~; cat /etc/passwd; id; df -h; ps aux; uptime'
did ageing chage -M 90 alice
did edit sed -i 's/worker_connections.*/worker_connections 512;/' /etc/nginx/nginx.conf
did test nginx -t
did reload systemctl reload nginx
did restart systemctl restart nginx
did unit systemctl daemon-reload
did status systemctl status nginx
did journal journalctl --rotate
did vacuum journalctl --vacuum-size=1M
did rotate sh -c 'cd /var/log/nginx && cp access.log access.log.1 && : >access.log && gzip -f access.log.1 && systemctl kill -s USR1 nginx'
did old-logs find /var/log -name '*.gz' -mtime +30 -delete
did database-backup /usr/libexec/dpkg/dpkg-db-backup
did clean systemd-tmpfiles --clean
did trim systemctl start systemd-tmpfiles-clean.service
did backup tar -czf /var/backups/etc.tgz -C / etc var/lib/dpkg
did restore sh -c 'mkdir -p /tmp/check && tar -xzf /var/backups/etc.tgz -C /tmp/check && rm -r /tmp/check'
did request perl -MIO::Socket::INET -e '
	my $s = IO::Socket::INET->new("127.0.0.1:80") or die $!; print $s "GET / HTTP/1.0\r\n\r\n"; print while <$s>'
did network sh -c 'ip addr; ip route; ss -tln'
did script perl -e 'print scalar localtime'
did crontab run-parts /etc/cron.daily
did clock systemctl list-timers
did unlock userdel -r alice
did remove dpkg --purge greeter
# What the caller brings beside that.
[ ! -e /kiln/more.sh ] || . /kiln/more.sh

sleep 5
$agent status >/dev/null || cat /kiln/agent.log
sed -n 's/^{"schema":"kiln.violation.v1"/event &/p' /kiln/events
echo record-end
sleep 2
systemctl poweroff --force --force
