/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Rates of network traffic. One pair of programs at the root of the cgroups sees every packet that a socket sends or
 * gets, from the first one of a unit that has just been made: its label and its bucket go by the cgroup of the socket.
 */

/* What a verdict of a program at a cgroup is, for what is sent: dropped, and TCP slows down as for congestion. */
#define KILN_CONGESTED 2

/*
 * Whether a packet is within its unit's rate. What passes puts off the instant at which all is paid for; while that is
 * further ahead than KILN_BURST, nothing passes. So a packet of any size passes at some time, and the rate holds.
 */
static __always_inline bool kiln_affords(struct kiln_traffic *traffic, const u32 way, u64 rate, u64 bytes)
{
	u64 cost = bytes * 8 * 1000000000ull / rate, now = bpf_ktime_get_ns(), due, from;

#pragma unroll
	for (int turn = 0; turn < 8; turn++) {
		due = *(volatile u64 *)&traffic->due[way];
		from = due > now ? due : now;
		if (from - now > KILN_BURST)
			break;
		if (__sync_val_compare_and_swap(&traffic->due[way], due, from + cost) == due) {
			__sync_fetch_and_add(&traffic->passed[way], bytes);
			return true;
		}
	}
	__sync_fetch_and_add(&traffic->dropped[way], bytes);
	return false;
}

/* What a unit may send or get, whose own rate is `rate`, while it is throttled; 0: as much as it likes. */
static __always_inline u64 kiln_throttled_rate(u64 id, u64 rate)
{
	struct kiln_throttle *entry;

	if (!*(volatile u64 *)&kiln_state.throttles)
		return rate;
	entry = bpf_map_lookup_elem(&kiln_throttled, &id);
	if (!entry || *(volatile u64 *)&entry->until_ns <= bpf_ktime_get_boot_ns())
		return rate;
	return rate && rate < KILN_THROTTLE_RATE ? rate : KILN_THROTTLE_RATE;
}

static __always_inline bool kiln_metered(struct __sk_buff *skb, const u32 way)
{
	struct kiln_traffic *traffic, none = {};
	u64 id = 0, above;
	struct kiln_limit *limit;
	u32 label = 0, *found;
	u64 rate;

	/* The lowest that has a label is the unit's own; slices above it may have one, too. */
	for (u32 level = 1; level <= KILN_UNIT_DEPTH; level++) {
		above = bpf_skb_ancestor_cgroup_id(skb, level);
		if (!above)
			break;
		found = bpf_map_lookup_elem(&kiln_cgroups, &above);
		if (found) {
			label = *found;
			id = above;
		}
	}
	if (!label)
		return true;
	limit = kiln_limit_of(label);
	rate = kiln_throttled_rate(id, limit ? limit->rate[way] : 0);
	if (!rate)
		return true;
	traffic = bpf_map_lookup_elem(&kiln_traffics, &id);
	if (!traffic) {
		bpf_map_update_elem(&kiln_traffics, &id, &none, BPF_NOEXIST);
		traffic = bpf_map_lookup_elem(&kiln_traffics, &id);
	}
	/* Without memory to count it, nothing passes. */
	return traffic && kiln_affords(traffic, way, rate, skb->len);
}

SEC("cgroup_skb/ingress")
NEEDS("rates throttles")
KILN_METER(kiln_ingress)
{
	return kiln_metered(skb, KILN_IN);
}

SEC("cgroup_skb/egress")
NEEDS("rates throttles")
KILN_METER(kiln_egress)
{
	return kiln_metered(skb, KILN_OUT) ? 1 : KILN_CONGESTED;
}
