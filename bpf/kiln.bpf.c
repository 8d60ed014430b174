/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The one fixed object. Programs never change with the policy; a policy is data
 * in maps. Each family of hooks has its file; the headers each have one concern.
 */
#include "include/kernel.h"
#include <bpf_helpers.h>
#include <bpf_core_read.h>
#include <bpf_tracing.h>
#include "include/abi.h"
#include "include/needs.h"
#include "include/maps.h"
#include "include/dfa.h"
#include "include/path.h"
#include "include/inside.h"
#include "include/group.h"
#include "include/label.h"
#include "include/wanted.h"
#include "include/subject.h"
#include "include/agent.h"
#include "include/event.h"
#include "include/quarantine.h"
#include "include/verdict.h"
#include "include/self.h"
#include "include/own.h"
#include "include/net.h"
#include "include/sctp.h"
#include "include/limit.h"

#define V(name) (1u << KILN_##name)
#define KILN_FILE_VERBS 0x7fu
#define KILN_NETWORK_VERBS (V(BIND) | V(CONNECT) | V(ACCEPT))

#include "include/rename.h"
#include "include/switch.h"

#include "inside.bpf.c"
#include "memory.bpf.c"
#include "exec.bpf.c"
#include "ring.bpf.c"
#include "theirs.bpf.c"
#include "file.bpf.c"
#include "attributes.bpf.c"
#include "accept.bpf.c"
#include "datagram.bpf.c"
#include "dns.bpf.c"
#include "many.bpf.c"
#include "net.bpf.c"
#include "sctp.bpf.c"
#include "capability.bpf.c"
#include "socket.bpf.c"
#include "kernel.bpf.c"
#include "ioctl.bpf.c"
#include "mount.bpf.c"
#include "held.bpf.c"
#include "group.bpf.c"
#include "names.bpf.c"
#include "limit.bpf.c"
#include "self.bpf.c"
#include "task.bpf.c"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
