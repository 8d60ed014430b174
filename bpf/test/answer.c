/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The reading of answers (answer.h) as a program of user space, under the address and undefined-behaviour sanitizers,
 * held against a plain one that calls itself for each name. Messages by hand, and by chance: well-formed ones, such
 * ones with bytes changed or cut off, and bytes without sense. tests/cli/walk.rs compiles and runs it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "../include/kernel.h"

#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define barrier_var(var) asm volatile("" : "+r"(var))
#include "../include/answer.h"

static u64 seed = 1;
static u32 chance(u32 below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % below;
}

/* What was understood. */
struct plain {
	int good;
	char asked[512];
	u32 found, left_out;
	unsigned char address[64][16];
	u32 ttl[64];
};

static int plain_name(const u8 *m, u32 len, u32 at, char *text, u32 *end)
{
	u32 low = at, size = 0;

	*end = 0;
	text[0] = 0;
	for (;;) {
		u32 byte;

		if (at >= len)
			return 0;
		byte = m[at];
		if (!byte) {
			if (!*end)
				*end = at + 1;
			return 1;
		}
		if (byte >= 0xc0) {
			u32 to;

			if (at + 1 >= len)
				return 0;
			to = (byte & 0x3f) << 8 | m[at + 1];
			if (to >= low || to < 12)
				return 0;
			if (!*end)
				*end = at + 2;
			at = low = to;
			continue;
		}
		if (byte > 63 || at + byte >= len)
			return 0;
		for (u32 i = 1; i <= byte; i++) {
			char c = m[at + i];

			if (c >= 'A' && c <= 'Z')
				c += 32;
			if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-_", c) || !c || size >= 255)
				return 0;
			text[size++] = c;
		}
		if (size >= 255)
			return 0;
		text[size++] = '.';
		text[size] = 0;
		at += byte + 1;
	}
}

static u32 two(const u8 *m, u32 at)
{
	return m[at] << 8 | m[at + 1];
}

static int plain_distant(const u8 *a)
{
	static const u8 mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, none[12];

	if (!memcmp(a, mapped, 12))
		return a[12] != 0 && a[12] != 127 && a[12] < 224 && !(a[12] == 169 && a[13] == 254);
	return memcmp(a, none, 12) && a[0] != 0xff && !(a[0] == 0xfe && (a[1] & 0xc0) == 0x80);
}

static void plain_read(const u8 *m, u32 len, struct plain *p)
{
	char followed[512], owner[512];
	u32 at, records, least = ~0u;

	memset(p, 0, sizeof(*p));
	if (len < 12 || len > 4096 || (two(m, 2) & 0xf80f) != 0x8000 || two(m, 4) != 1)
		return;
	if (!plain_name(m, len, 12, p->asked, &at) || !p->asked[0] || at + 4 > len || two(m, at + 2) != 1)
		return;
	strcpy(followed, p->asked);
	at += 4;
	for (records = two(m, 6); records; records--) {
		u32 type, ttl, bytes, data;

		if (!plain_name(m, len, at, owner, &at) || at + 10 > len)
			return;
		type = two(m, at);
		ttl = two(m, at + 4) << 16 | two(m, at + 6);
		if (ttl >> 31)
			ttl = 0;
		bytes = two(m, at + 8);
		data = at + 10;
		if (data + bytes > len)
			return;
		if (two(m, at + 2) == 1 && !strcmp(owner, followed)) {
			u8 address[16] = {[10] = 0xff, [11] = 0xff};
			u32 end;

			if (type == 5) {
				least = ttl < least ? ttl : least;
				if (!plain_name(m, len, data, followed, &end) || end != data + bytes)
					return;
			} else if ((type == 1 && bytes == 4) || (type == 28 && bytes == 16)) {
				memcpy(address + 16 - bytes, m + data, bytes);
				if (plain_distant(address)) {
					if (p->found < KILN_ANSWER_ADDRESSES) {
						memcpy(p->address[p->found], address, 16);
						p->ttl[p->found++] = ttl < least ? ttl : least;
					} else {
						p->left_out++;
					}
				}
			}
		}
		at = data + bytes;
	}
	p->good = 1;
}

static struct kiln_answer *answer; /* of its own, so that the sanitizer sees what is read beside it */
static u64 tried, understood, learned;

/* Steps are bounded: a message that needs more is not read to its end. */
static void compare(const u8 *m, u32 len, const char *what)
{
	struct plain p;
	u32 steps = 0;

	memset(answer, 0xa5, sizeof(*answer));
	memcpy(answer->data, m, len);
	answer->len = len;
	plain_read(m, len, &p);
	if (kiln_answer_begin(answer))
		while (steps++ < KILN_ANSWER_STEPS && kiln_answer_step(answer) == KILN_GO_ON)
			;
	tried++;
	if (steps > KILN_ANSWER_STEPS) {
		if (answer->read) {
			printf("%s: read to the end in too many steps\n", what);
			exit(1);
		}
		return;
	}
	if (!!answer->read != p.good) {
		printf("%s: read %u, and plainly %d\n", what, answer->read, p.good);
		exit(1);
	}
	if (!p.good)
		return;
	understood++;
	learned += p.found;
	if (answer->asked_len != strlen(p.asked) || memcmp(answer->asked, p.asked, answer->asked_len)) {
		printf("%s: asked for %.*s, and plainly %s\n", what, (int)answer->asked_len, answer->asked, p.asked);
		exit(1);
	}
	if (answer->found != p.found || answer->left_out != p.left_out) {
		printf("%s: found %u and %u, and plainly %u and %u\n", what, answer->found, answer->left_out, p.found,
		       p.left_out);
		exit(1);
	}
	for (u32 i = 0; i < p.found; i++)
		if (memcmp(answer->address[i].address, p.address[i], 16) || answer->address[i].ttl != p.ttl[i]) {
			printf("%s: address %u\n", what, i);
			exit(1);
		}
}

static u8 m[KILN_ANSWER_MAX];
static u32 at;

static void put(u32 value, int bytes)
{
	while (bytes--)
		if (at < sizeof(m))
			m[at++] = value >> 8 * bytes;
}

/* A name; `names`: where others stand that it may end in. */
static void put_some_name(const u32 *names, u32 n)
{
	static const char letters[] = "abcABCxyz019-_.\xc3";
	u32 labels = chance(4);

	while (labels--) {
		u32 size = chance(20) ? 1 + chance(5) : 1 + chance(70);

		put(size, 1);
		while (size--)
			put(letters[chance(chance(40) ? 12 : sizeof(letters) - 1)], 1);
	}
	if (n && chance(3))
		put(0xc000 | names[chance(n)], 2);
	else
		put(0, 1);
}

static void some_message(void)
{
	u32 names[64], n = 0, records = chance(chance(5) ? 6 : 40), asked;

	at = 0;
	put(chance(65536), 2);
	put(chance(10) ? 0x8180 : chance(65536), 2);
	put(chance(20) ? 1 : chance(3), 2);
	put(chance(10) ? records : chance(200), 2);
	put(0, 4);
	asked = names[n++] = at;
	put(3, 1), put(chance(2) ? 0x617069 : 0x415049, 3);
	put_some_name(names, 0);
	put(chance(2) ? 1 : 28, 2);
	put(chance(30) ? 1 : 3, 2);
	while (records-- && n < 60) {
		u32 type = chance(3), start;

		if (chance(4))
			put(0xc000 | (chance(3) ? names[n - 1] : asked), 2);
		else
			put_some_name(names, n);
		put(type == 0 ? 1 : type == 1 ? 28 : 5, 2);
		put(chance(30) ? 1 : 4, 2);
		put(chance(5) ? chance(90000) : chance(65536) << 16, 4);
		if (type == 0) {
			put(4, 2), put(chance(10) ? chance(~0u) : 0xa9fe0001 - (chance(3) << 24), 4);
		} else if (type == 1) {
			put(16, 2), put(chance(4) ? 0xfd000000 | chance(65536) : chance(2) ? 0xfe800000 : 0, 4);
			put(0, 4), put(chance(2) ? 0 : 0xffff, 4), put(chance(~0u), 4);
		} else {
			put(0, 2);
			start = at;
			names[n++] = at;
			put_some_name(names, n - 1);
			if (start >= 2 && at < sizeof(m)) {
				m[start - 2] = (at - start) >> 8;
				m[start - 1] = at - start;
			}
		}
	}
}

int main(void)
{
	answer = malloc(sizeof(*answer));
	for (u32 round = 0; round < 400000; round++) {
		some_message();
		compare(m, at, "a message by chance");
		for (u32 n = chance(4); n; n--)
			m[chance(at)] = chance(3) ? chance(256) : 0xc0;
		compare(m, at, "a message with bytes changed");
		compare(m, chance(at + 1), "a message that is cut off");
	}
	for (u32 round = 0; round < 20000; round++) {
		u32 len = chance(chance(50) ? 300 : KILN_ANSWER_MAX + 1);

		for (u32 i = 0; i < len; i++)
			m[i] = chance(256);
		if (len > 12)
			m[2] = 0x81, m[3] = 0x80, m[4] = 0, m[5] = 1;
		compare(m, len, "bytes");
	}
	/* The longest names, and pointers one behind the other through a whole message. */
	for (u32 labels = 0; labels < 130; labels++) {
		at = 0;
		put(1, 2), put(0x8180, 2), put(1, 2), put(1, 2), put(0, 4);
		for (u32 i = 0; i < labels; i++)
			put(1, 1), put('a', 1);
		put(0, 1), put(1, 2), put(1, 2);
		put(0xc00c, 2), put(1, 2), put(1, 2), put(60, 4), put(4, 2), put(0x0a000001, 4);
		compare(m, at, "a long name");
	}
	at = 0;
	put(1, 2), put(0x8180, 2), put(1, 2), put(0xffff, 2), put(0, 4);
	put(1, 1), put('a', 1), put(0, 1), put(1, 2), put(1, 2);
	while (at + 2 < sizeof(m))
		put(0xc000 | (at > 19 ? at - 2 : 12), 2);
	compare(m, at, "pointers");
	if (tried < 1000000 || understood < 100000 || learned < 100000) {
		printf("too little: %llu messages, %llu understood, %llu addresses\n", tried, understood, learned);
		return 1;
	}
	free(answer);
	printf("answers agree\n");
	return 0;
}
