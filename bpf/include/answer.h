/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Reads an answer of a name server (RFC 1035): the name that was asked for, and the addresses that it leads to, over
 * aliases. A machine that takes one byte of a name, or one record, at a step, so that the verifier sees one step; the
 * number of steps is bounded. bpf/test/answer.c runs it in user space, under the sanitizers.
 */
#ifndef KILN_ANSWER_H
#define KILN_ANSWER_H

#define KILN_ANSWER_MAX 4096u /* bytes of a message */
#define KILN_ANSWER_HEAD 12u
#define KILN_ANSWER_STEPS 8192u
#define KILN_ANSWER_ADDRESSES 32u
#define KILN_DNS_NAME 256u

enum kiln_answer_phase { KILN_P_NAME, KILN_P_LABEL, KILN_P_RECORD };
/* What the name that is being read is. */
enum kiln_answer_role { KILN_N_ASKED, KILN_N_OWNER, KILN_N_ALIAS };

struct kiln_answer {
	/* What the program at the cgroup saw of the packet. */
	u32 valid;
	u32 len;
	u64 server[2];
	u32 own; /* the port that it comes to */
	/* The reading. */
	u32 phase, role;
	u32 at;	       /* of the byte that is read next */
	u32 back;      /* where to go on behind the name, once it has led elsewhere; else 0 */
	u32 low;       /* it may lead only to what stands before this */
	u32 rest;      /* bytes of the label */
	u32 text;      /* bytes of the name so far */
	u32 apart;     /* the record's owner is not the name that is followed */
	u32 records;   /* yet to come */
	u32 read;      /* to its end, and well-formed */
	u32 end;       /* of the record */
	u32 ttl;       /* the least of the aliases */
	u32 asked_len; /* a name's length is with the dot behind each label */
	u32 followed_len;
	u32 found;
	u32 left_out; /* addresses for which there was no room */
	struct {
		u64 address[2];
		u64 ttl;
	} address[KILN_ANSWER_ADDRESSES];
	u64 pos;		    /* for the walk over the name */
	u8 asked[KILN_DNS_NAME];    /* in lower case */
	u8 followed[KILN_DNS_NAME]; /* the name that was asked for, or the alias that it leads to */
	/* The message; the name, when it was read. As long as what kiln_walk_path() may read. */
	u8 data[KILN_ANSWER_MAX + 256];
};

#ifndef barrier_var
#define barrier_var(var) asm volatile("" : "+r"(var))
#endif

/* A byte of the message; beyond its end, which is an error, more than a byte holds. */
static __always_inline u32 kiln_answer_byte(struct kiln_answer *a, u64 at)
{
	barrier_var(at);
	if (at >= a->len || at >= KILN_ANSWER_MAX)
		return ~0u;
	barrier_var(at);
	return a->data[at];
}

static __always_inline u32 kiln_answer_two(struct kiln_answer *a, u32 at)
{
	u32 high = kiln_answer_byte(a, at), low = kiln_answer_byte(a, at + 1);

	return (high | low) > 0xff ? ~0u : high << 8 | low;
}

static __always_inline void kiln_answer_name(struct kiln_answer *a, u32 role, u32 at)
{
	a->role = role;
	a->phase = KILN_P_NAME;
	a->at = a->low = at;
	a->back = a->text = a->apart = 0;
}

/* Reads the head. False: it is not the answer to a single question, or an error. A truncated answer is read, too. */
static __always_inline bool kiln_answer_begin(struct kiln_answer *a)
{
	u32 flags = kiln_answer_two(a, 2), questions = kiln_answer_two(a, 4);

	a->found = a->left_out = a->read = 0;
	a->asked_len = a->followed_len = 0;
	a->ttl = ~0u;
	a->records = kiln_answer_two(a, 6);
	if (a->len < KILN_ANSWER_HEAD || a->len > KILN_ANSWER_MAX)
		return false;
	/* A response, of the operation "query", without an error. */
	if ((flags & 0xf80f) != 0x8000 || questions != 1)
		return false;
	kiln_answer_name(a, KILN_N_ASKED, KILN_ANSWER_HEAD);
	return true;
}

/*
 * Whether names may lead to it. An address of this machine or of its link alone is nobody's whom a name server tells
 * of: the owner of a name could reach by it what trusts the machine. `key`: the address as a network key has it.
 */
static __always_inline bool kiln_is_distant(const u8 *key)
{
	bool four = !(key[0] | key[1] | key[2] | key[3] | key[4] | key[5] | key[6] | key[7] | key[8] | key[9]);

	if (four && key[10] == 0xff && key[11] == 0xff)
		return key[12] && key[12] != 127 && key[12] < 224 && !(key[12] == 169 && key[13] == 254);
	/* ::/96 is this host, the loopback, and what is not used any more. */
	if (four && !key[10] && !key[11])
		return false;
	return key[0] != 0xff && !(key[0] == 0xfe && (key[1] & 0xc0) == 0x80);
}

static __always_inline void kiln_answer_address(struct kiln_answer *a, u32 at, u32 bytes, u32 ttl)
{
	u8 key[16] = {};
	u64 n = a->found;

	if (bytes == 4) {
		key[10] = key[11] = 0xff;
		for (u32 i = 0; i < 4; i++)
			key[12 + i] = kiln_answer_byte(a, at + i);
	} else {
		for (u32 i = 0; i < 16; i++)
			key[i] = kiln_answer_byte(a, at + i);
	}
	if (!kiln_is_distant(key))
		return;
	barrier_var(n);
	if (n >= KILN_ANSWER_ADDRESSES) {
		a->left_out++;
		return;
	}
	barrier_var(n);
	__builtin_memcpy(a->address[n].address, key, 16);
	a->address[n].ttl = ttl < a->ttl ? ttl : a->ttl;
	a->found = n + 1;
}

/* One more byte of the name: to where its role puts it. False: no name of a host. */
static __always_inline bool kiln_answer_put(struct kiln_answer *a, u32 byte)
{
	u64 at = a->text;

	barrier_var(at);
	if (at >= KILN_DNS_NAME - 1)
		return false;
	barrier_var(at);
	if (a->role == KILN_N_OWNER) {
		if (a->followed[at] != (u8)byte)
			a->apart = 1;
	} else {
		a->followed[at] = byte;
		if (a->role == KILN_N_ASKED)
			a->asked[at] = byte;
	}
	a->text = at + 1;
	return true;
}

/* What follows the owner's name of a record. Nonzero: it is malformed. */
static __always_inline int kiln_answer_record(struct kiln_answer *a, u32 at)
{
	u32 type = kiln_answer_two(a, at), class = kiln_answer_two(a, at + 2), high = kiln_answer_two(a, at + 4),
	    low = kiln_answer_two(a, at + 6), bytes = kiln_answer_two(a, at + 8), ttl = high << 16 | low;

	if (type > 0xffff || class > 0xffff || high > 0xffff || low > 0xffff || bytes > 0xffff)
		return 1;
	at += 10;
	a->end = at + bytes;
	if (a->end > a->len)
		return 1;
	/* RFC 2181: with its highest bit it is 0. */
	if (high & 0x8000)
		ttl = 0;
	a->phase = KILN_P_RECORD;
	a->at = a->end;
	if (a->apart || a->text != a->followed_len || class != 1)
		return 0;
	if (type == 1 && bytes == 4) {
		kiln_answer_address(a, at, 4, ttl);
	} else if (type == 28 && bytes == 16) {
		kiln_answer_address(a, at, 16, ttl);
	} else if (type == 5) {
		a->ttl = ttl < a->ttl ? ttl : a->ttl;
		kiln_answer_name(a, KILN_N_ALIAS, at);
	}
	return 0;
}

/* The name ends before `at`. Nonzero: it is malformed. */
static __always_inline int kiln_answer_named(struct kiln_answer *a, u32 at)
{
	if (a->role == KILN_N_OWNER)
		return kiln_answer_record(a, at);
	a->followed_len = a->text;
	a->phase = KILN_P_RECORD;
	if (a->role == KILN_N_ALIAS) {
		a->at = a->end;
		return at != a->end;
	}
	a->asked_len = a->text;
	a->at = at + 4;
	/* Of the Internet; its type does not matter. */
	return !a->text || kiln_answer_two(a, at + 2) != 1;
}

enum kiln_answer_step { KILN_GO_ON = 0, KILN_WHOLE = 1, KILN_MALFORMED = 2 };

static __always_inline u32 kiln_answer_step(struct kiln_answer *a)
{
	u32 at = a->at, byte, to;

	if (a->phase == KILN_P_RECORD) {
		if (!a->records) {
			a->read = 1;
			return KILN_WHOLE;
		}
		a->records--;
		kiln_answer_name(a, KILN_N_OWNER, at);
		return KILN_GO_ON;
	}
	byte = kiln_answer_byte(a, at);
	if (byte > 0xff)
		return KILN_MALFORMED;
	if (a->phase == KILN_P_LABEL) {
		if (byte >= 'A' && byte <= 'Z')
			byte += 'a' - 'A';
		/* A dot within a label would make another name of it. */
		if (!(byte >= 'a' && byte <= 'z') && !(byte >= '0' && byte <= '9') && byte != '-' && byte != '_')
			return KILN_MALFORMED;
		if (!kiln_answer_put(a, byte))
			return KILN_MALFORMED;
		a->at = at + 1;
		if (--a->rest)
			return KILN_GO_ON;
		a->phase = KILN_P_NAME;
		return kiln_answer_put(a, '.') ? KILN_GO_ON : KILN_MALFORMED;
	}
	if (!byte)
		return kiln_answer_named(a, a->back ? a->back : at + 1) ? KILN_MALFORMED : KILN_GO_ON;
	if (byte >= 0xc0) {
		to = kiln_answer_byte(a, at + 1);
		if (to > 0xff)
			return KILN_MALFORMED;
		to |= (byte & 0x3f) << 8;
		/* Ever further to the front: so it comes to an end. */
		if (to >= a->low || to < KILN_ANSWER_HEAD)
			return KILN_MALFORMED;
		if (!a->back)
			a->back = at + 2;
		a->at = a->low = to;
		return KILN_GO_ON;
	}
	if (byte > 63)
		return KILN_MALFORMED;
	a->rest = byte;
	a->at = at + 1;
	a->phase = KILN_P_LABEL;
	return KILN_GO_ON;
}

#endif
