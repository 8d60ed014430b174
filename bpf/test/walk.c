/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The walks of path.h and dfa.h as a program of user space, under the address and undefined-behaviour sanitizers, each
 * held against a plain one: every length of a name beside every other, every depth and every place of a mount's
 * boundary, every end of the buffer, and mounts of several namespaces by chance. tests/cli/walk.rs compiles and runs
 * it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "../include/kernel.h"

#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define __noinline static __attribute__((noinline))
#define SEC(name)
#define __uint(name, value) int(*name)[1]
#define __type(name, value) value *name
#define __array(name, value) value *name[1]
#define barrier_var(var) asm volatile("" : "+r"(var))
#define bpf_ksym_exists(name) 0

/* What the kernel's BTF says a dentry has room for. */
static u32 inline_room = 40;
#define bpf_core_field_exists(type, field) 1
#define bpf_core_field_offset(type, field) __builtin_offsetof(type, field)
#define bpf_core_field_size(type, field) inline_room

#define READ_1(from, a)                                                                                                \
	({                                                                                                             \
		__typeof__((from)->a) got_ = 0;                                                                        \
		if ((u64)(from) > 4095 && (u64)(from) < (u64)-4095)                                                    \
			got_ = (from)->a;                                                                              \
		got_;                                                                                                  \
	})
#define READ_2(from, a, b) READ_1(READ_1(from, a), b)
#define READ_OF(one, two, name, ...) name
#define BPF_CORE_READ(from, ...) READ_OF(__VA_ARGS__, READ_2, READ_1)(from, __VA_ARGS__)

static struct task_struct task;
static struct pt_regs registers;

static long bpf_probe_read_kernel(void *to, u32 size, const void *from)
{
	if ((u64)from < 4096 || (u64)from >= (u64)-4095) {
		memset(to, 0, size);
		return -14;
	}
	memcpy(to, from, size);
	return 0;
}
static struct task_struct *bpf_get_current_task_btf(void)
{
	return &task;
}
static void *bpf_task_pt_regs(struct task_struct *of)
{
	return &registers;
}
static u32 bpf_get_smp_processor_id(void)
{
	return 0;
}
static void *bpf_map_lookup_elem(void *map, const void *key)
{
	return NULL;
}
#define bpf_task_storage_get(map, task, value, flags) NULL
#define bpf_loop(turns, step, ctx, flags)                                                                              \
	do {                                                                                                           \
		u32 turns_ = (turns);                                                                                  \
		for (u32 turn_ = 0; turn_ < turns_; turn_++)                                                           \
			if ((step)(turn_, ctx))                                                                        \
				break;                                                                                 \
	} while (0)

#include "../include/abi.h"
#include "../include/maps.h"

/* A step of the automaton as abi.h describes it. */
static u32 plain_step(struct kiln_tables *t, u32 state, u8 byte)
{
	struct {
		u32 next, check;
	} head, entry;

	if (state > KILN_WORDS - 258)
		return 0;
	memcpy(&head, &t->words[state], 8);
	memcpy(&entry, &t->words[state + 1 + t->hdr.path_class[byte]], 8);
	return entry.check == state ? entry.next : head.next;
}
#define KILN_STEP(t, state, bytes, at, classes) state = plain_step(t, state, (bytes)[at])

#include "../include/dfa.h"
#include "../include/path.h"

static u64 seed = 88172645463325252ull;

static u32 chance(u32 below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static unsigned long done;

#define FAIL(...)                                                                                                      \
	do {                                                                                                           \
		printf(__VA_ARGS__);                                                                                   \
		exit(1);                                                                                               \
	} while (0)

/* A tree of the test: dentries in a row, each the parent of the next, with mounts at some of them. */
#define MOST 160
static struct dentry *dentries[MOST];
static struct mount *mounts[MOST];
static struct mnt_namespace own = {.seq = 1, .event = 7}, other = {.seq = 2, .event = 7}, detached = {.seq = 0};
static struct nsproxy proxy = {.mnt_ns = &own};
static struct super_block disk;
static struct kiln_scratch *scratch;

/* Names differ from byte to byte and from each other; what lies behind one in its dentry is not zero. */
static void name_it(struct dentry *dentry, u32 len, u32 salt)
{
	char *to = (char *)dentry->d_iname;

	if (dentry->d_name.name && dentry->d_name.name != dentry->d_iname)
		free((void *)dentry->d_name.name);
	memset(dentry->d_iname, '#', sizeof(dentry->d_iname));
	if (len >= inline_room || len >= sizeof(dentry->d_iname))
		to = malloc(len + 1);
	for (u32 at = 0; at < len; at++)
		to[at] = 'a' + (at + salt) % 26;
	to[len] = 0;
	dentry->d_name.name = (unsigned char *)to;
	dentry->d_name.len = len;
}

static void tree(u32 depth, const u32 *lens)
{
	for (u32 at = 0; at <= depth; at++) {
		if (!dentries[at])
			dentries[at] = calloc(1, sizeof(struct dentry));
		dentries[at]->d_sb = &disk;
		dentries[at]->d_parent = dentries[at ? at - 1 : 0];
		name_it(dentries[at], at ? lens[at - 1] : 1, at * 3);
	}
}

static struct mount *mounted(u32 which, struct dentry *root, struct mount *parent, struct dentry *place)
{
	if (!mounts[which])
		mounts[which] = calloc(1, sizeof(struct mount));
	mounts[which]->mnt.mnt_root = root;
	mounts[which]->mnt.mnt_sb = &disk;
	mounts[which]->mnt_parent = parent ? parent : mounts[which];
	mounts[which]->mnt_mountpoint = place ? place : root;
	mounts[which]->mnt_ns = &own;
	mounts[which]->mnt_id = which;
	return mounts[which];
}

/* The path by its meaning. `free_names`: how many names cost none of the turns that a path may take. */
static u8 expected[KILN_PATH_MAX + 1];

static u32 plain(struct mount *mount, struct dentry *dentry, u32 free_names)
{
	u32 at = KILN_PATH_MAX, turns = 0, first = free_names;

	for (;;) {
		if (dentry == mount->mnt.mnt_root) {
			first = 0;
			if (++turns > KILN_DEPTH_MAX)
				return PATH_FAIL;
			if (mount->mnt_parent == mount)
				break;
			dentry = mount->mnt_mountpoint;
			mount = mount->mnt_parent;
			continue;
		}
		if (dentry->d_parent == dentry || !dentry->d_name.len || dentry->d_name.len > 255 ||
		    dentry->d_name.len + 1 > at)
			return PATH_FAIL;
		if (first)
			first--;
		else if (++turns > KILN_DEPTH_MAX)
			return PATH_FAIL;
		at -= dentry->d_name.len;
		memcpy(expected + at, dentry->d_name.name, dentry->d_name.len);
		expected[--at] = '/';
		dentry = dentry->d_parent;
	}
	if (mount->mnt_ns != task.nsproxy->mnt_ns)
		return PATH_FAIL;
	if (at == KILN_PATH_MAX)
		expected[--at] = '/';
	return at;
}

/* `twice`: that a path was begun by another mount before, which may have left bytes in front. */
static bool twice;

static void compare(const char *how, u32 want, u32 got)
{
	done++;
	if (want != got)
		FAIL("%s: the path begins at %u instead of %u\n", how, got, want);
	if (want == PATH_FAIL)
		return;
	if (memcmp(scratch->path + want, expected + want, KILN_PATH_MAX - want))
		FAIL("%s: %.*s instead of %.*s\n", how, (int)(KILN_PATH_MAX - want), scratch->path + want,
		     (int)(KILN_PATH_MAX - want), expected + want);
	for (u32 at = 0; at < want && !twice; at++)
		if (scratch->path[at] != '!')
			FAIL("%s: byte %u before the path at %u was written\n", how, at, want);
	for (u32 at = KILN_PATH_MAX; at < sizeof(scratch->path); at++)
		if (scratch->path[at] != '!')
			FAIL("%s: byte %u behind the path was written\n", how, at);
}

static void fresh(void)
{
	memset(scratch->path, '!', sizeof(scratch->path));
}

/* Both walks, and the quick one once more, when it may know the mount. */
static void try_both(struct mount *mount, struct dentry *dentry)
{
	u32 want = plain(mount, dentry, KILN_QUICK_DEPTH);

	fresh();
	compare("quick", want, kiln_resolve(scratch, &task, &mount->mnt, dentry));
	fresh();
	compare("quick, again", want, kiln_resolve(scratch, &task, &mount->mnt, dentry));
	want = plain(mount, dentry, 0);
	fresh();
	compare("by addresses", want, kiln_resolve_any(scratch, &mount->mnt, dentry));
}

static void every_length(void)
{
	static const u32 third[] = {1, 7, 8, 9, 15, 16, 17, 20, 23, 24, 25, 31, 32, 33, 39, 40, 41, 255};
	u32 lens[3];

	for (lens[0] = 1; lens[0] <= 64; lens[0]++)
		for (lens[1] = 1; lens[1] <= 64; lens[1]++)
			for (u32 at = 0; at < sizeof(third) / sizeof(*third); at++) {
				lens[2] = third[at];
				tree(3, lens);
				try_both(mounted(0, dentries[0], NULL, NULL), dentries[3]);
			}
	for (lens[0] = 1; lens[0] <= 255; lens[0]++)
		for (lens[1] = 1; lens[1] <= 255; lens[1] += 1 + lens[1] / 48) {
			tree(2, lens);
			try_both(mounted(0, dentries[0], NULL, NULL), dentries[2]);
		}
	for (lens[0] = 0; lens[0] <= 300; lens[0] += 300) {
		tree(1, lens);
		try_both(mounted(0, dentries[0], NULL, NULL), dentries[1]);
	}
}

/* A second mount whose root is the dentry `cut` is mounted at the dentry `place` of the first. */
static void every_depth(void)
{
	u32 lens[MOST];

	for (u32 depth = 0; depth < 140; depth++) {
		for (u32 at = 0; at < depth; at++)
			lens[at] = 1 + (at * 7) % 30;
		tree(depth, lens);
		try_both(mounted(0, dentries[0], NULL, NULL), dentries[depth]);
		for (u32 cut = 0; cut <= depth; cut++) {
			u32 place = chance(cut + 1);

			mounted(0, dentries[0], NULL, NULL);
			own.event++;
			try_both(mounted(1, dentries[cut], mounts[0], dentries[place]), dentries[depth]);
			/* A third, and one that lies on the root of the other. */
			own.event++;
			try_both(mounted(2, dentries[cut], mounts[1], dentries[cut]), dentries[depth]);
		}
		/* What was moved out of what is mounted, and what hangs nowhere. */
		if (depth > 1)
			try_both(mounted(1, dentries[depth], mounts[0], dentries[0]), dentries[depth - 1]);
	}
}

static void every_end(void)
{
	u32 lens[MOST];

	for (u32 last = 1; last <= 255; last++)
		for (u32 total = 16; total <= 17; total++) {
			/* 15 names of 255 leave 256 bytes; the last ones fill them, exceed them by one, or stay below.
			 */
			for (u32 at = 0; at < 15; at++)
				lens[at] = 255;
			lens[15] = last;
			lens[16] = 255 - last > 1 ? 255 - last - chance(2) : 1;
			tree(total, lens);
			try_both(mounted(0, dentries[0], NULL, NULL), dentries[total]);
			own.event++;
			try_both(mounted(1, dentries[8], mounts[0], dentries[8]), dentries[total]);
		}
	/* Short names up to the end: 20 bytes each. */
	for (u32 last = 1; last <= 64; last++)
		for (u32 len = 31; len <= 33; len++) {
			u32 depth = 4096 / (len + 1);

			for (u32 at = 0; at < depth; at++)
				lens[at] = len;
			lens[0] = last;
			tree(depth, lens);
			try_both(mounted(0, dentries[0], NULL, NULL), dentries[depth]);
		}
}

/* A mount that goes, and another one at its address: what was remembered of the first is not said of the second. */
static void every_reuse(void)
{
	u32 lens[] = {3, 17, 23, 9};

	tree(4, lens);
	mounted(0, dentries[0], NULL, NULL);
	for (u32 turn = 0; turn < 8; turn++) {
		try_both(mounted(1, dentries[2], mounts[0], dentries[0]), dentries[4]);
		own.event++;
		try_both(mounted(1, dentries[2], mounts[0], dentries[turn % 3]), dentries[4]);
		own.event++;
	}
	/* A namespace in which nothing was mounted yet is not remembered: another may come with its number. */
	own.event = 0;
	try_both(mounted(1, dentries[2], mounts[0], dentries[0]), dentries[4]);
	try_both(mounted(1, dentries[2], mounts[0], dentries[1]), dentries[4]);
	own.event = 100000;
	/* Not of the own namespace, and none of its file system there. */
	own.root = mounts[2] = mounted(2, dentries[0], NULL, NULL);
	mounts[2]->mnt.mnt_sb = NULL;
	mounts[2]->mnt_mounts.next = &mounts[2]->mnt_mounts;
	struct mnt_namespace *spaces[] = {&other, &detached, NULL, (void *)-22};

	for (u32 at = 0; at < 4; at++) {
		mounts[0]->mnt_ns = mounts[1]->mnt_ns = spaces[at];
		own.event++;
		try_both(mounts[1], dentries[4]);
	}
}

#include "mounts.c"

/* --- The automaton's walk in chunks. --- */

static void every_automaton(void)
{
	struct kiln_tables *t = calloc(1, sizeof(*t));
	enum { STATES = 12, CLASSES = 5, ROW = 8, FIRST = 264 };

	for (u32 turn = 0; turn < 60; turn++) {
		for (u32 byte = 0; byte < 256; byte++)
			t->hdr.path_class[byte] = chance(CLASSES);
		for (u32 state = 0; state < STATES; state++) {
			u64 at = FIRST + state * ROW, final = turn % 2 && state == STATES - 1;
			u64 accept = chance(3) | (final ? KILN_FINAL : 0);

			t->words[at] = accept << 32 | (final ? at : chance(4) ? FIRST + chance(STATES) * ROW : 0);
			for (u32 class = 0; class < CLASSES; class ++) {
				u64 own_entry = !final && chance(2);

				t->words[at + 1 + class] = own_entry ? at << 32 | (FIRST + chance(STATES) * ROW) : 0;
			}
		}
		for (u32 at = 0; at < KILN_PATH_MAX; at++)
			scratch->path[at] = chance(256);
		for (u32 len = 0; len <= KILN_PATH_MAX; len += turn ? 1 + chance(len < 128 ? 2 : 61) : 1) {
			u32 state = FIRST, got;

			for (u32 at = KILN_PATH_MAX - len; at < KILN_PATH_MAX; at++)
				state = plain_step(t, state, scratch->path[at]);
			scratch->pos = KILN_PATH_MAX - len;
			got = kiln_walk_path(t, FIRST, scratch->path, &scratch->pos, KILN_PATH_MAX);
			done++;
			if (kiln_accept(t, got) != kiln_accept(t, state) || (!kiln_is_final(t, got) && got != state))
				FAIL("%u bytes lead to %u instead of %u\n", len, got, state);
		}
	}
	free(t);
}

int main(void)
{
	static const u32 rooms[] = {32, 36, 40, 48};

	task.nsproxy = &proxy;
	scratch = calloc(1, sizeof(*scratch));
	for (u32 at = 0; at < sizeof(rooms) / sizeof(*rooms); at++) {
		inline_room = rooms[at];
		every_length();
		every_depth();
		every_end();
		own.root = NULL;
		every_reuse();
		any_namespace();
		every_host();
		every_torn_tree();
	}
	every_automaton();
	printf("%lu walks agree\n", done);
	return 0;
}
