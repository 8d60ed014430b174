/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The decision of the LSM programs as a tc program, which BPF_PROG_TEST_RUN
 * runs on any kernel: the same headers, from the label to the report. Only what
 * a tc program can't do is replaced: the task in a report, the ring buffer, the
 * signal.
 */
#include "../include/kernel.h"
#include <bpf_helpers.h>
#include <bpf_core_read.h>
#include <bpf_tracing.h>
#include "../include/abi.h"
#define KILN_NO_SPARES /* a tc program has no task storage */
#include "../include/maps.h"
#include "../include/dfa.h"
#include "../include/path.h"
#include "../include/group.h"
#include "../include/label.h"
/* The second that is asked about. */
static __always_inline u64 test_now(void);
#define KILN_WALL_SECONDS() test_now()
#include "../include/subject.h"
#include "../include/agent.h"

/* What is asked. tests/support/decide.rs writes it. */
struct test_request {
	u32 label;
	u32 verb;
	u32 kind; /* enum kiln_object; TEST_UNRESOLVED, TEST_UNKNOWN_ADDRESS */
	u32 bit;
	u32 len;  /* of `path` */
	u32 copy; /* 0: the path is in the scratch from the run before */
	u8 net[20];
	u32 now;  /* seconds of the wall clock */
	u64 user; /* user.h */
	u8 path[KILN_PATH_MAX];
};
#define TEST_UNRESOLVED 99u
#define TEST_UNKNOWN_ADDRESS 98u

/* What came of it. */
struct test_answer {
	int ret;
	u32 reported; /* whether there was a report; the rest is from it */
	u32 rule;
	u8 verdict;
	u8 severity;
	u8 action;
	u8 mode;
	u32 verb;
	u32 killed;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct test_request);
} test_requests SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct test_answer);
} test_answers SEC(".maps");

static __always_inline struct test_answer *test_answer(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&test_answers, &zero);
}

static __always_inline u64 test_now(void)
{
	u32 zero = 0;
	struct test_request *r = bpf_map_lookup_elem(&test_requests, &zero);

	return r ? r->now : 0;
}

/* In place of event.h. */
static __always_inline void kiln_count(u32 which)
{
}
static __always_inline void kiln_event_task(struct kiln_event *e)
{
}
static __always_inline u64 kiln_serial(u32 generation)
{
	return 0;
}
static __always_inline void kiln_send(struct kiln_event *e, u32 len)
{
	struct test_answer *a = test_answer();

	if (!a)
		return;
	a->reported++;
	a->rule = e->rule;
	a->verdict = e->verdict;
	a->severity = e->severity;
	a->action = e->action;
	a->mode = e->mode;
	a->verb = e->verb;
}
static __always_inline long test_signal(u32 signal)
{
	struct test_answer *a = test_answer();

	if (a)
		a->killed = signal;
	return 0;
}
#define bpf_send_signal test_signal

#include "../include/quarantine.h"
#include "../include/verdict.h"
#include "../include/self.h"
#include "../include/net.h"

static __always_inline int test_path(struct test_request *r, struct kiln_who *who)
{
	struct kiln_about about = {.kind = r->kind, .pos = PATH_FAIL};
	struct kiln_scratch *s = kiln_scratch_take();
	u64 len = r->len, pos;
	int ret;

	if (!s)
		return -EPERM;
	barrier_var(len);
	if (r->kind != TEST_UNRESOLVED && len <= KILN_PATH_MAX) {
		pos = KILN_PATH_MAX - len;
		barrier_var(pos);
		if (r->copy && len && pos < KILN_PATH_MAX)
			bpf_probe_read_kernel(&s->path[pos], len, r->path);
		about.pos = pos;
	}
	ret = kiln_decide_path(who, s, &about, 1u << r->verb);
	kiln_scratch_give(s);
	return ret;
}

static __always_inline int test_decide(struct test_request *r)
{
	struct kiln_about about = {.kind = KILN_O_NET, .pos = PATH_FAIL};
	struct kiln_who who = {};
	int entry;

	if (r->verb >= KILN_VERBS)
		return -EPERM;
	entry = kiln_enter_label(&who, 0, r->label, r->user, 1u << r->verb);
	if (entry == KILN_PASS)
		return 0;
	if (entry == KILN_BROKEN || !who.s)
		return -EPERM;
	if (r->verb == KILN_CAPABILITY || r->verb == KILN_KERNEL)
		return kiln_decide_bit(&who, r->verb, r->bit, 0);
	if (r->kind == TEST_UNKNOWN_ADDRESS)
		return kiln_decide_net(&who, &about, r->verb, false);
	if (r->kind != KILN_O_NET)
		return test_path(r, &who);
	__builtin_memcpy(about.net, r->net, sizeof(about.net));
	if (kiln_any_address(&who, r->net[0], r->verb))
		return 0;
	return kiln_decide_net(&who, &about, r->verb, true);
}

SEC("tc")
int decide(struct __sk_buff *skb)
{
	u32 zero = 0;
	struct test_request *r = bpf_map_lookup_elem(&test_requests, &zero);
	struct test_answer *a = test_answer();

	if (!r || !a)
		return 1;
	a->ret = test_decide(r);
	return 0;
}

/* What a run costs before anything is decided. */
SEC("tc")
int nothing(struct __sk_buff *skb)
{
	u32 zero = 0;
	struct test_request *r = bpf_map_lookup_elem(&test_requests, &zero);
	struct test_answer *a = test_answer();

	if (!r || !a)
		return 1;
	a->ret = 0;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
