# Every stressor of stress-ng that reaches more than processor and memory, for a second; not those that fill the machine
# or end it.
skipped="apparmor bigheap brk cpu-online dev-shm fault-inject forkheavy full hdd idle-page icmp-flood inode-flags kvm madvise malloc
 memhotplug mlockmany mmapmany oom-pipe pageswap physpage ramfs resources stack stackmmap stream swap vforkmany vm watchdog
 mmaphuge numa pagemove rmap sockmany switch tlb-shootdown remap secretmem sysbadaddr vm-segv yield opcode zombie daemon race-sched
 resched cyclic sigabrt sigfpe sigsegv sigtrap sigq sigrt sigchld sigpending sigsuspend signal signest nanosleep sleep getrandom
 urandom mutex matrix zero null vdso x86syscall loadavg getdent nice alarm itimer timer wait mmapfork mmapfixed mmapaddr msyncmany
 munmap bad-altstack locka filename dirmany dirdeep dentry"
for class in os filesystem device network security pipe; do
	for stressor in $(kp-stress-ng --class "$class?" 2>/dev/null | sed 's/.*: //'); do
		case " $(echo $skipped) $done " in *" $stressor "*) continue ;; esac
		done="$done $stressor"
		probe "$stressor" kp-stress-ng "--$stressor" 1 "--$stressor-ops" 4 --timeout 1 --temp-path /tmp/probe --quiet
	done
done
echo kt-probes-end
