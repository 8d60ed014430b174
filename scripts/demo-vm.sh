# Virtual machines for the demo and the examples. Sourced by demo-lib.sh.
#
# `vm` names the machine that a function is about, so that `vm=web2 guest 'uname -r'` speaks to web2. One machine needs no
# name. Its console, and the two pipes through which this side speaks to it, lie in $work/vm-NAME.
vm=machine
declare -A vm_pid=() vm_in=() vm_out=()

# vm_boot DISK KERNEL CREDENTIAL [HOSTPORT:PORT]...: starts the machine and waits until its console answers. Connections to
# 127.0.0.1:HOSTPORT reach PORT of the machine; the machine reaches this host as 10.0.2.2.
vm_boot() {
	vm_start "$@"
	vm_ready
}

# vm_start, with the same arguments: starts it only, so that several boot side by side.
vm_start() {
	local disk=$1 kernel=$2 credential=$3 dir=$work/vm-$vm forwards='' to from ports
	shift 3
	for ports; do forwards=$forwards,hostfwd=tcp:127.0.0.1:${ports%:*}-:${ports#*:}; done
	rm -rf "$dir"
	mkdir -p "$dir"
	mkfifo "$dir/control.in" "$dir/control.out"
	# One CPU: QEMU 7.2 with two makes Linux 6.12 panic now and then.
	qemu-system-x86_64 -accel tcg,thread=multi -cpu max,cx16=off -smp 1 -m 1024 -nodefaults -display none -no-reboot \
		-kernel "$kernel" -append "root=PARTLABEL=root rw console=ttyS0 quiet panic=-1 systemd.firstboot=off" \
		-drive "file=$disk,format=raw,if=none,id=disk" -device nvme,drive=disk,serial=demo \
		-netdev "user,id=net$forwards" -device virtio-net-pci,netdev=net \
		-smbios "type=11,value=io.systemd.credential.binary:kiln.join=$(base64 -w0 <"$credential")" \
		-serial "file:$dir/console.log" -chardev "pipe,id=control,path=$dir/control" -serial chardev:control \
		>"$dir/qemu.log" 2>&1 &
	vm_pid[$vm]=$!
	exec {to}<>"$dir/control.in" {from}<>"$dir/control.out"
	vm_in[$vm]=$to vm_out[$vm]=$from
}

# vm_ready: waits until the console of a started machine answers.
vm_ready() {
	local said='' line end=$((SECONDS + 300)) dir=$work/vm-$vm
	while [ "$SECONDS" -lt "$end" ] && vm_runs; do
		# Where the time is over, `line` holds the first part of a line that has not ended.
		if IFS= read -r -t 5 -u "${vm_out[$vm]}" line; then
			[[ $said${line%$'\r'} != *@ready ]] || return 0
			said=
		else
			said=$said$line
		fi
	done
	tail -n 20 "$dir/console.log" "$dir/qemu.log" >&2
	die "the machine did not come up (console: $dir/console.log)"
}

vm_runs() { kill -0 "${vm_pid[$vm]}" 2>/dev/null; }

# guest COMMAND: runs one line as root in the machine; its output, and its exit status.
guest() {
	local line
	printf '%s\n' "$1" >&"${vm_in[$vm]}"
	while IFS= read -r -t 120 -u "${vm_out[$vm]}" line; do
		line=${line%$'\r'}
		case $line in
		"@end "*) return "${line#@end }" ;;
		*) printf '%s\n' "$line" ;;
		esac
	done
	return 124
}

# vm_shutdown: lets the machine shut down in order, and waits until it is off.
vm_shutdown() {
	guest "systemctl poweroff" >/dev/null
	until_true 120 not vm_runs
	vm_stop
}

# vm_stop: ends the machine as a power cut would.
vm_stop() {
	[ -n "${vm_pid[$vm]:-}" ] || return 0
	kill "${vm_pid[$vm]}" 2>/dev/null
	wait "${vm_pid[$vm]}" 2>/dev/null
	local to=${vm_in[$vm]} from=${vm_out[$vm]}
	exec {to}>&- {from}>&-
	unset "vm_pid[$vm]" "vm_in[$vm]" "vm_out[$vm]"
}

vm_stop_all() {
	local vm
	for vm in "${!vm_pid[@]}"; do vm_stop; done
}
