/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the kernel programs, the compiler and the agent agree on.
 *
 * One generation of policy is one value of at most KILN_TABLES_BYTES in one
 * array map: `struct kiln_tables`. Everything from `hdr` on is the kernel part
 * of the tables file, byte for byte, so that a hash of the map proves what is
 * loaded; `slot` and `label_of` in front of it are the agent's.
 *
 * src/abi/layout.rs mirrors this file; a test compares the two.
 * All integers are little-endian (x86-64, aarch64). Offsets named *_off count
 * 64-bit words from the start of `words`.
 */
#ifndef KILN_ABI_H
#define KILN_ABI_H

#define KILN_ABI_VERSION 4
#define KILN_ABI_MAGIC 0x314e4c4bu /* "KLN1" */

#define KILN_TABLES_BYTES (4u << 20) /* KMALLOC_MAX_SIZE on 6.1 bounds a map value */
#define KILN_SLOTS 3072u
#define KILN_SUBJECTS 1024u
#define KILN_GENERATIONS 4u
#define KILN_PATH_MAX 4096u
#define KILN_DEPTH_MAX 128u
#define KILN_SCRATCHES 8u /* a CPU */
#define KILN_NET_KEY 19u  /* protocol, 16 bytes of address, port; see below */
#define KILN_SUBJECT_WINDOWS 8
#define KILN_NO_WINDOW 63u
#define KILN_UNSURE_WINDOW 62u	/* open while it is not known which windows are */
#define KILN_USER_SELECTORS 24u /* of a policy */
#define KILN_USERS 256u		/* that a policy distinguishes */

/* Verbs are bit numbers in every mask below. */
enum kiln_verb {
	KILN_READ = 0,
	KILN_MODIFY = 1,
	KILN_CREATE = 2,
	KILN_DELETE = 3,
	KILN_SETATTR = 4,
	KILN_EXEC = 5,
	KILN_LOAD = 6,
	KILN_BIND = 7,
	KILN_CONNECT = 8,
	KILN_ACCEPT = 9,
	KILN_CAPABILITY = 10,
	KILN_KERNEL = 11,
	KILN_SYSCALL = 12,
	KILN_VERBS = 13,
};
#define KILN_OBJECT_VERBS 10u /* READ..ACCEPT: the verbs of a kiln_decision */

/* Bits of the `kernel` class. Names in PDL are these in lower case. */
enum kiln_kernel_op {
	KILN_K_BPF = 0,		/* bpf(2) */
	KILN_K_KEXEC = 1,	/* kexec_load(2), kexec_file_load(2) */
	KILN_K_MODULE = 2,	/* init_module(2), finit_module(2), a module request */
	KILN_K_PTRACE = 3,	/* ptrace(2), /proc/PID/mem, process_vm_writev(2) of another task */
	KILN_K_USERNS = 4,	/* a new user namespace */
	KILN_K_MOUNT = 5,	/* mount, remount, umount, pivot_root, move_mount */
	KILN_K_PERF = 6,	/* perf_event_open(2) */
	KILN_K_IO_URING = 7,	/* io_uring personalities, SQPOLL and passthrough commands */
	KILN_K_CLOCK = 8,	/* setting the clock */
	KILN_K_EXEC_MEMORY = 9, /* executable memory not backed by an unmodified file */
	KILN_K_CHROOT = 10,	/* chroot(2) */
	KILN_K_RAW_SOCKET = 11, /* raw and packet sockets, and families beyond unix, inet, inet6 and netlink */
	KILN_K_SETUID = 12,	/* changing user or group ids */
	KILN_K_LOCKDOWN = 13,	/* what kernel lockdown guards (/dev/mem, msr, kprobes, debugfs ...) */
	KILN_K_IOCTL = 14,	/* device-specific ioctl(2) on character and block devices */
	KILN_K_OPS = 15,
};

enum kiln_mode { KILN_ENFORCE = 0, KILN_AUDIT = 1, KILN_LEARN = 2, KILN_WATCH = 3 };
enum kiln_severity { KILN_LOW = 0, KILN_MEDIUM = 1, KILN_HIGH = 2, KILN_CRITICAL = 3 };
enum kiln_action { KILN_ALERT = 0, KILN_THROTTLE = 1, KILN_QUARANTINE = 2, KILN_KILL = 3 };

/* What a rule says when it decides. */
struct kiln_outcome {
	__u32 rule; /* index into the rules of the tables file's metadata */
	__u8 severity;
	__u8 action;
	__u8 mode;   /* of the block that decided: enum kiln_mode */
	__u8 reason; /* enum kiln_reason: of what no rule decides */
};

/* The joint verdict of all blocks of a subject on one object: 6 words. */
struct kiln_decision {
	__u16 deny;  /* verbs that an enforcing block refuses */
	__u16 would; /* verbs that only an audit or learn block refuses */
	__u16 watch; /* verbs that are permitted and observed */
	__u16 pad;
	__u32 outcome[KILN_OBJECT_VERBS]; /* per verb an index into outcomes; valid where a bit is set */
};

/* One combination of a profile and guards: 16 words. */
struct kiln_subject {
	__u32 path_start;   /* DFA state for paths and unix sockets; 0: every path gets path_default */
	__u32 net_start;    /* DFA state for KILN_NET_KEY strings */
	__u32 exec_start;   /* DFA state for paths at exec; accepts hold the next subject */
	__u32 unit_start;   /* DFA state for unit names; accepts hold the next subject */
	__u32 path_default; /* decision where no state accepts */
	__u32 net_default;  /* decision where no state accepts */
	__u32 fail;	    /* decision for a path or unix socket that cannot be resolved */
	__u32 cap_off;	    /* into outcome_refs: 64 entries, by capability number */
	__u32 kernel_off;   /* into outcome_refs: 32 entries, by kiln_kernel_op */
	__u32 verbs;	    /* verbs for which a decision can be anything but plain allow */
	__u64 cap_deny, cap_would, cap_watch;
	__u32 kernel_deny, kernel_would, kernel_watch;
	__u32 flags;		  /* KILN_S_* */
	__u32 net4_tcp, net4_udp; /* the state of net_start after a protocol and ::ffff: IPv4 begins here */
	__u16 any_tcp, any_udp;	  /* verbs that are plainly permitted for every address and port of the protocol */
	__u32 kernel_detour;	  /* of kernel_deny and kernel_would: refused only for what they go round */
	__u32 fail_net;		  /* decision for a network address that cannot be understood */
	/* The guards' own part, for the name that the machine has for a file: verbs of their rules on paths, ... */
	__u32 guard_verbs;
	__u32 guard_start; /* ... DFA state; where no state accepts they refuse nothing, ... */
	__u32 guard_fail;  /* ... and decision where that name is unknown */
	/*
	 * If KILN_S_VARIES: what matters of the time and the user, by bits; KILN_NO_WINDOW fills up. Bits below
	 * KILN_WINDOWS are windows, the KILN_USER_SELECTORS above them are selectors of users. The word of `words` at
	 * `row` plus one bit for each of them that is open or matches, the first the lowest, is the index of the
	 * subject that decides then; 0: this one, which also decides where it is not known what is.
	 */
	__u8 window[KILN_SUBJECT_WINDOWS];
	__u32 row;
	__u32 quarantine; /* the subject that it is in quarantine; 0: no rule of the policy asks for one */
};
#define KILN_HOST_EXEC 0x10000u /* in host_verbs: subject 1 has an exec_start */

#define KILN_S_PROFILE 1u    /* a profile is part of it; guards may still be added: walk where a start is not 0 */
#define KILN_S_SENTINEL 2u   /* the reserved subject that the agent uses to prove enforcement */
#define KILN_S_QUARANTINE 4u /* another subject in quarantine */
#define KILN_S_TIMED 8u	     /* what it is permitted hangs on the time ... */
#define KILN_S_USER 16u	     /* ... or on the user: nothing of it is remembered */
#define KILN_S_VARIES (KILN_S_TIMED | KILN_S_USER)

#define KILN_S_DNS 32u /* some rule permits it connections by the name of their peer */

/*
 * required_hooks_lo: bit n, below 16, says that verb n is governed by a subject other than the sentinel's.
 * required_hooks_hi: the same by enum kiln_kernel_op.
 */
#define KILN_H_EXEC (1u << 16)	   /* an exec can change the subject: exec_start is not 0 everywhere */
#define KILN_H_UNIT (1u << 17)	   /* a unit can change the subject: unit_start is not 0 everywhere */
#define KILN_H_PEER (1u << 18)	   /* a rule on accept names addresses: who connects decides, not the port alone */
#define KILN_H_DATAGRAM (1u << 19) /* a datagram can be refused when it arrives */
#define KILN_H_RATES (1u << 20)	   /* a limit is a rate of network traffic */
#define KILN_H_THROTTLE (1u << 23) /* a rule, or a limit that is met, throttles a unit */
#define KILN_H_DNS (1u << 22)	   /* a rule permits connections by the name of their peer */

struct kiln_header {
	__u32 magic;
	__u32 abi_version;
	__u32 words; /* used words, this header excluded */
	__u32 subjects_off;
	__u32 n_subjects; /* subject 0 is never used; 1 is the host's */
	__u32 decisions_off;
	__u32 n_decisions; /* decision 0 permits everything silently */
	__u32 outcomes_off;
	__u32 n_outcomes;
	__u32 outcome_refs_off; /* u32 pairs packed in words */
	__u32 n_outcome_refs;
	__u32 host_verbs;			    /* verbs of subject 1: the fast way out for unlabelled tasks */
	__u32 required_hooks_lo, required_hooks_hi; /* KILN_H_* bits */
	__u32 n_variants; /* subjects behind the others: what decides for one of them at a time. No label means them */
	__u32 n_rows;	  /* words behind the outcome references */
	__u8 path_class[256]; /* byte -> class, for paths, unix sockets and unit names */
	__u8 net_class[256];
	__u32
	    names_start; /* DFA state for names of hosts; accepts are numbers of sets of patterns; 0: no rule has one */
	__u32 n_names;	 /* of such sets: at most KILN_NAME_SETS */
	__u64 names_key; /* a digest of all the patterns, above a byte for the number of a set */
	/* Words behind the rows: a user in the low half, by whom they are sorted; above, which selectors match. */
	__u32 users_off, n_users;
};

#define KILN_WORDS ((KILN_TABLES_BYTES - (KILN_SLOTS + KILN_SUBJECTS) * 4 - sizeof(struct kiln_header)) / 8)

/*
 * The automaton. A state is the index of its header word. Word `s` holds
 * default next state (low half) and accept (high half; 0: none). Word
 * `s + 1 + class` holds next state (low) if its high half equals `s`,
 * else the default applies. KILN_FINAL is set in the accept of a state that every byte leads back to: the walk may
 * stop. State 0 is dead; the first 264 words are zero, so that a walk may but need not stop there. An accept of
 * exec_start or unit_start is an index of a subject, one of the others of a decision; 0 stands for the default
 * decision, or for no change of subject. (Row displacement: Tarjan and Yao, "Storing a sparse table", CACM 22:11,
 * 1979.)
 *
 * A network object is the string: protocol number (IPPROTO_*), address as 16
 * bytes (IPv4 as ::ffff:a.b.c.d, RFC 4291 2.5.5.2), port big-endian. Where the address is one of a name, one byte
 * more: the number of the set of patterns that match the name.
 * A unix socket's object is its path; an abstract name has '@' in front.
 */
#define KILN_FINAL 0x80000000u

struct kiln_tables {
	__u32 slot[KILN_SLOTS];	       /* label -> subject index + 1; 0: unknown, denied */
	__u32 label_of[KILN_SUBJECTS]; /* subject index -> label; 0: none */
	struct kiln_header hdr;
	__u64 words[KILN_WORDS];
};

/* Labels (slots) with a fixed meaning. */
#define KILN_LABEL_HOST 1u     /* a task without another has this one */
#define KILN_LABEL_SENTINEL 2u /* denied everything, in every generation */

/*
 * The one word that a flip changes. Low half: in its lowest byte the index of the generation in the outer map, above
 * it the turn, by one higher with each flip, so that what is remembered of one flip is not taken for another's. High
 * half: hdr.host_verbs of that generation. A low half of KILN_INACTIVE means that nothing is enforced yet.
 */
#define KILN_INACTIVE 0xffffffffu
#define KILN_TURN_SHIFT 8

#define KILN_AUDIT_PIECE 15
#define KILN_AUDIT_PIECES 18

/* The value of kiln_state. Only `active` decides; `serial` names the generations in events. */
struct kiln_state {
	__u64 active;
	__u64 serial[KILN_GENERATIONS];
	__u64 turn;    /* of the last flip; the agent's */
	__u64 strays;  /* not 0: a task outside the labelled cgroups may have a label of its own; stays so */
	__u64 moves;   /* enum kiln_moves */
	__u64 moving;  /* address of the process that is being moved to another cgroup, and KILN_MOVING_LABELLED */
	__u64 backing; /* the bits of f_mode by which this kernel tells a file below an overlay's; 0: not seen yet */
	__u64 quarantines; /* not 0: kiln_quarantined may have an entry */
	/*
	 * The one unit that an operator has put into audit mode: until when (CLOCK_BOOTTIME; 0: none), under which
	 * serial, its label and, above that, the label of its guards alone, and its cgroup's name, in pieces of
	 * KILN_AUDIT_PIECE bytes and a zero.
	 */
	__u64 audit_until, audit_serial, audit_labels;
	__u64 audit_unit[2 * KILN_AUDIT_PIECES];
	__u64 throttles; /* not 0: kiln_throttled may have an entry */
};
#define KILN_MOVING_LABELLED 1ull /* it has a label where it comes from */

/* Whether a task is seen before it leaves its cgroup. */
enum kiln_moves {
	KILN_MOVES_UNKNOWN = 0, /* no task was moved yet */
	KILN_MOVES_SEEN = 1,	/* it was, and was seen before */
	KILN_MOVES_MISSED = 2,	/* this kernel does not show it: each task bears its label itself */
};

/*
 * Which windows are open over a time to come, in seconds of the wall clock. The agent writes it, from the windows in
 * the metadata of the tables. An entry: since when, above KILN_WINDOWS bits that say what is open from then on.
 */
#define KILN_WINDOWS 24 /* of a policy */
#define KILN_OPENINGS 4096u
struct kiln_schedule {
	__u64 from, until; /* it is known from here on, and from here on it is not any more */
	__u64 n;
	__u64 entry[KILN_OPENINGS]; /* sorted; the first is of `from` */
};

/* The value of kiln_clock. */
struct kiln_clock {
	__u64 timekeeper;	      /* address of the kernel's, whose offs_real is the wall clock's; 0: not known */
	__u64 trial;		      /* address of what may be one; the agent looks at ... */
	__u64 seen;		      /* ... the nanoseconds of the wall clock by it */
	__u64 turn[KILN_GENERATIONS]; /* grows with each new schedule; its lowest bit says which of the two is valid */
	struct kiln_schedule schedule[KILN_GENERATIONS][2];
};

/* A label of a task's own. Without one it has its cgroup's. */
struct kiln_task {
	__u32 label; /* 0: the host's, whatever the cgroup has (KILN_T_EXEMPT) */
	__u32 flags; /* KILN_T_* */
};
/*
 * PID 1's own code still runs: systemd has forked and moved the task into the unit's cgroup, and sets up the
 * sandbox. The host's subject applies, except that the program it executes next must be permitted by the label's.
 */
#define KILN_T_STARTING 1u
#define KILN_T_EXEMPT 2u
#define KILN_T_GROUP 4u /* never kept: the label is the cgroup's */

/*
 * Who is in quarantine, and since when. A unit, by the id of its cgroup, which has the label of the quarantined subject
 * in kiln_cgroups, too; who bears a label itself in it is found by this entry. Or a process that bears its label
 * itself, by its number and its start.
 */
struct kiln_quarantine_key {
	__u64 id;
	__u64 start; /* of the thread group's leader, CLOCK_BOOTTIME; 0: `id` is a cgroup's */
};
struct kiln_quarantine {
	__u64 time_ns; /* CLOCK_BOOTTIME */
	__u64 serial;  /* as in an event */
	__u32 label;   /* before */
	__u32 rule;
	__u32 pid; /* of the process that was refused */
	__u32 pad;
};
#define KILN_QUARANTINES 1024u

/* A unit that is throttled, by the id of its cgroup. */
struct kiln_throttle {
	__u64 time_ns;	/* CLOCK_BOOTTIME: since when */
	__u64 until_ns; /* until when, unless it is asked for again */
	__u64 serial;	/* as in an event */
	__u32 label;
	__u32 rule; /* KILN_NO_RULE: a limit that was met */
	__u32 pid;  /* of the process that was refused; 0: a limit that was met */
	__u32 pad;
};
#define KILN_THROTTLES 1024u
#define KILN_THROTTLE_NS 600000000000ull /* ten minutes */
#define KILN_THROTTLE_RATE 1000000ull	 /* bits a second, in each direction */

/*
 * What a task finds by its cgroup without a look-up: at the cgroup's place, which its address gives. Several cgroups
 * may share one.
 */
#define KILN_PLACES 4096u

/*
 * Bits of kiln_groups.look. A task for which none is set that matters has no label, and the host's subject refuses it
 * nothing; a bit too many only costs time. The lower bits: hdr.host_verbs of the active generation.
 */
#define KILN_LOOK_LABEL 0x80000000u  /* a cgroup of this place has a label, or had while another had */
#define KILN_LOOK_STRAYS 0x40000000u /* everywhere, if kiln_state.strays */
#define KILN_LOOK_AGENT 0x20000000u  /* everywhere, while the agent has a task with a label of its own */

/* The one cgroup of a place that has a label, if `group` is its address. kiln_cgroups knows of all. */
struct kiln_mark {
	__u64 group;
	/*
	 * What the label's subject is plainly permitted: low KILN_PASS_BITS bits, by verb, then by KILN_PASS_*. Valid
	 * for the turn and label in the bits above. One word, so that it is all of one time.
	 */
	__u64 pass;
	__u32 label;
	__u32 pad;
	__u64 reserved;
};
#define KILN_MARK_SHARED 1ull /* several have labels, or had: for good */
#define KILN_PASS_BITS 28
#define KILN_PASS_TCP 13 /* BIND, CONNECT, ACCEPT with every address of the protocol */
#define KILN_PASS_UDP 16

struct kiln_groups {
	__u32 look[KILN_PLACES];
	struct kiln_mark mark[KILN_PLACES];
};

/* Who listens on a socket: kept with the socket, because a connection request arrives in no task's context. */
struct kiln_listener {
	__u32 label; /* 0: no listener, but a connection that was refused after the kernel had handed it out */
	__u32 pid;
	__u64 refused; /* the request at the head of the queue that accept(2) was last refused for */
};

/* Words of kiln_agent_ids. */
enum kiln_agent_word {
	KILN_A_PID = 0,		 /* thread group id of the agent; 0 while none runs */
	KILN_A_INODE = 1,	 /* of its program, low and high */
	KILN_A_DEVICE = 3,	 /* of its program, as the kernel encodes it */
	KILN_A_START = 4,	 /* when it started, in KILN_TICK; with the pid it is no other process's */
	KILN_A_KEEPER_PID = 5,	 /* the process that keeps the pins' file system; 0: systemd keeps it */
	KILN_A_KEEPER_START = 6, /* when that one started */
	KILN_A_TELLING = 7,	 /* not 0: what the agent locks now gets this value in kiln_belongings */
	KILN_A_WORDS = 8,
};
#define KILN_TICK 10000000ull /* nanoseconds; USER_HZ of proc(5) */

/* An entry of kiln_belongings: an inode of a device as the kernel encodes it, or one of the numbers below. */
struct kiln_own_key {
	__u64 number;
	__u32 device; /* or KILN_AT_* */
	__u32 pad;
};
#define KILN_AT_MOUNT 0xffffffffu     /* the id of a mount of the host's namespace that the way leads over */
#define KILN_AT_PEERS 0xfffffffeu     /* the peer group of such a mount: what happens to a peer happens to it */
#define KILN_AT_NAMESPACE 0xfffffffdu /* the host's mount namespace */
#define KILN_OWN_MAX 512u
/* Values of kiln_belongings; above these bits the agent counts how often it told. */
#define KILN_OWN_TREE 1u  /* a folder that is Kiln's with all that is in it */
#define KILN_OWN_WAY 2u	  /* a folder or root of a mount on the way there */
#define KILN_OWN_GROUP 4u /* a cgroup that the agent is in */
#define KILN_OWN_BITS 3

#define KILN_HELPERS 5u

/* Of a label that has limits of any kind; what of them cgroups do not do, 0: to nothing. */
struct kiln_limit {
	__u64 files;   /* descriptors of a process */
	__u64 rate[2]; /* bits a second, by enum kiln_way_of */
};
enum kiln_way_of { KILN_IN = 0, KILN_OUT = 1 };

/* The traffic of a unit's cgroup. */
struct kiln_traffic {
	__u64 due[2];		     /* CLOCK_MONOTONIC: when what has passed is paid for, by the rate */
	__u64 passed[2], dropped[2]; /* bytes */
};
#define KILN_BURST 200000000ull /* nanoseconds ahead of its rate that a unit may be */

#define KILN_NAME_SETS 255u

/* Whom the machine asks for addresses of names. The agent writes it. */
#define KILN_SERVERS 8u
struct kiln_resolvers {
	__u64 netns; /* number of the machine's network namespace: nobody is believed in another */
	__u64 n;
	__u64 server[KILN_SERVERS][2]; /* addresses as in a network key */
};

/*
 * The addresses that names lead to, by some bits of the address. An entry counts while `until` is to come; one that
 * does not may be taken for another.
 */
#define KILN_LEARNED_PLACES 1024u
#define KILN_LEARNED_WAYS 16u
struct kiln_learned {
	struct {
		__u64 address[2];
		__u64 name;  /* names_key, and the number of the set */
		__u64 until; /* CLOCK_BOOTTIME */
	} entry[KILN_LEARNED_WAYS];
};

/* What an event is about. */
enum kiln_object { KILN_O_PATH = 0, KILN_O_NET = 1, KILN_O_UNIX = 2, KILN_O_CAPABILITY = 3, KILN_O_KERNEL = 4 };
/* Why a request was refused without a rule. */
enum kiln_reason {
	KILN_R_POLICY = 0,  /* the rule in `rule` decided */
	KILN_R_PATH = 1,    /* the path is too long, too deep or not resolvable */
	KILN_R_LABEL = 2,   /* the task's label is unknown to this generation */
	KILN_R_TABLES = 3,  /* the tables could not be read */
	KILN_R_ADDRESS = 4, /* the address is malformed or of a family that is not governed */
	KILN_R_SELF = 5,    /* protection of Kiln's own programs, maps and agent */
	KILN_R_MEMORY = 6,  /* an allocation failed */
	KILN_R_QUARANTINE = 7,
	KILN_R_LIMIT = 8, /* beyond a limit of the policy */
};
enum kiln_verdict { KILN_V_DENIED = 0, KILN_V_WOULD_DENY = 1, KILN_V_WATCHED = 2, KILN_V_ATTACHED = 3 };

/* One record of the ring buffer; `object` is cut to `object_len` bytes. */
struct kiln_event {
	__u64 time_ns;	     /* CLOCK_BOOTTIME */
	__u64 start_time_ns; /* of the thread group's leader, CLOCK_BOOTTIME */
	__u64 generation;    /* the serial in kiln_generation */
	__u64 cgroup_id;
	__u32 pid, tid, ppid, uid;
	__u32 label;
	__u32 rule; /* index into the metadata's rules, ~0: none */
	__u8 verb;
	__u8 verdict;
	__u8 reason;
	__u8 object_kind;
	__u8 severity;
	__u8 action;
	__u8 mode;
	__u8 protocol; /* IPPROTO_* of a network object */
	__u16 port;    /* host order */
	__u16 object_len;
	__u32 bit; /* capability number or kiln_kernel_op */
	char comm[16];
	__u8 address[16];
	__u8 object[KILN_PATH_MAX]; /* a path, not NUL-terminated */
};

/* Index into the per-CPU counters map. */
enum kiln_counter {
	KILN_C_EVENTS = 0,
	KILN_C_DROPPED = 1, /* events that found the ring buffer full */
	KILN_C_DENIED = 2,
	KILN_C_WOULD = 3,
	KILN_C_FAILED_CLOSED = 4,
	KILN_C_COUNTERS = 5,
};

#endif
