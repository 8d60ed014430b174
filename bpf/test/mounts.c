/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The walks that go over mounts: a file of another namespace, the machine's own name, trees that change meanwhile. Part
 * of walk.c, which includes it.
 */

/* --- The own namespace's mount for a file of another one, over trees of mounts by chance. --- */

static u32 order[MOST], ordered;

static void visit(u32 which, const u32 *parent, u32 count)
{
	order[ordered++] = which;
	for (u32 child = which + 1; child < count; child++)
		if (parent[child] == which)
			visit(child, parent, count);
}

static void any_namespace(void)
{
	struct super_block disks[2] = {{0}, {0}};
	u32 lens[16], parent[24], count, depth;
	struct mount foreign;

	for (u32 turn = 0; turn < 40000; turn++) {
		u32 nearest = MOST, want = PATH_FAIL;
		struct mount *best = NULL;

		depth = 1 + chance(10);
		count = 1 + chance(20);
		for (u32 at = 0; at < depth; at++)
			lens[at] = 1 + chance(40);
		tree(depth, lens);
		for (u32 at = 0; at < count; at++) {
			struct dentry *root = dentries[chance(depth + 1)];

			parent[at] = at ? chance(at) : 0;
			mounted(at, root, at ? mounts[parent[at]] : NULL, at ? dentries[chance(depth + 1)] : NULL);
			mounts[at]->mnt.mnt_sb = &disks[chance(3) != 0];
			mounts[at]->mnt_mounts.next = mounts[at]->mnt_mounts.prev = &mounts[at]->mnt_mounts;
		}
		for (u32 at = 1; at < count; at++) {
			struct list_head *head = &mounts[parent[at]]->mnt_mounts, *entry = &mounts[at]->mnt_child;

			entry->prev = head->prev;
			entry->next = head;
			head->prev->next = entry;
			head->prev = entry;
		}
		for (u32 at = 0; at <= depth; at++)
			dentries[at]->d_sb = &disks[1];
		ordered = 0;
		visit(0, parent, count);
		for (u32 at = 0; at < ordered; at++)
			for (u32 up = 0; up <= depth; up++)
				if (mounts[order[at]]->mnt.mnt_sb == &disks[1] &&
				    mounts[order[at]]->mnt.mnt_root == dentries[depth - up] && up <= nearest) {
					nearest = up;
					best = mounts[order[at]];
				}
		/* A mount's place must be below its parent's root for there to be a path; else it is unknown. */
		if (best)
			want = plain(best, dentries[depth], 0);
		own.root = mounts[0];
		own.event++;
		twice = true;
		fresh();
		compare("only a dentry", want, kiln_resolve_any(scratch, NULL, dentries[depth]));
		memset(&foreign, 0, sizeof(foreign));
		foreign.mnt.mnt_root = dentries[0];
		foreign.mnt.mnt_sb = &disks[1];
		foreign.mnt_parent = &foreign;
		foreign.mnt_mountpoint = dentries[0];
		foreign.mnt_ns = &other;
		fresh();
		compare("of another namespace", want, kiln_resolve_any(scratch, &foreign.mnt, dentries[depth]));
		fresh();
		compare("of another, quick", want, kiln_resolve(scratch, &task, &foreign.mnt, dentries[depth]));
		fresh();
		compare("of another, again", want, kiln_resolve(scratch, &task, &foreign.mnt, dentries[depth]));
		foreign.mnt_ns = NULL;
		fresh();
		compare("of one that has ended", want, kiln_resolve(scratch, &task, &foreign.mnt, dentries[depth]));
		foreign.mnt_ns = chance(2) ? &detached : (void *)-22;
		fresh();
		compare("of none", PATH_FAIL, kiln_resolve(scratch, &task, &foreign.mnt, dentries[depth]));
		for (u32 at = 0; at <= depth; at++)
			dentries[at]->d_sb = &disk;
		twice = false;
	}
}

/* --- The machine's own name. --- */

static void every_host(void)
{
	struct mnt_namespace machine = {.seq = 3, .event = 7};
	struct nsproxy machines = {.mnt_ns = &machine};
	struct task_struct first = {.real_parent = &first, .nsproxy = &machines};
	struct task_struct second = {.real_parent = &first, .nsproxy = &machines};
	struct super_block disks[2] = {{0}, {0}};
	u32 lens[16], seen[3] = {0};

	task.real_parent = &second;
	disks[1].s_root = NULL;
	for (u32 turn = 0; turn < 40000; turn++) {
		u32 depth = 1 + chance(10), count = 1 + chance(8), down, want = PATH_NONE, got;
		struct list_head *head = &disks[1].s_mounts;
		struct mount *best = NULL, *asked;
		bool inside = chance(2);

		for (u32 at = 0; at < depth; at++)
			lens[at] = 1 + chance(40);
		tree(depth, lens);
		down = chance(depth + 1);
		head->next = head->prev = head;
		for (u32 at = 0; at < count; at++) {
			struct dentry *root = dentries[chance(2) ? 0 : chance(depth + 1)];

			mounted(at, root, at ? mounts[chance(at)] : NULL, at ? dentries[chance(depth + 1)] : NULL);
			mounts[at]->mnt_ns = chance(3) ? &machine : chance(2) ? &own : NULL;
			mounts[at]->mnt.mnt_sb = &disks[chance(3) != 0];
			if (mounts[at]->mnt.mnt_sb != &disks[1])
				continue;
			/* The oldest first; a few as if the list were in another order than the tree. */
			struct list_head *before = chance(4) ? head : head->next, *entry = &mounts[at]->mnt_instance;

			entry->prev = before->prev;
			entry->next = before;
			before->prev->next = entry;
			before->prev = entry;
		}
		for (u32 at = 0; at <= depth; at++)
			dentries[at]->d_sb = &disks[1];
		disks[1].s_root = dentries[0];
		asked = chance(4) ? mounts[chance(count)] : NULL;
		for (struct list_head *at = head->next; at != head && !best; at = at->next) {
			struct mount *mount = (void *)at - __builtin_offsetof(struct mount, mnt_instance);

			for (u32 up = 0; up <= down && mount->mnt_ns == &machine; up++)
				if (mount->mnt.mnt_root == dentries[up])
					best = mount;
		}
		if (best && !(inside && best == asked)) {
			task.nsproxy = &machines;
			want = plain(best, dentries[down], 0);
		}
		task.nsproxy = inside ? &machines : &proxy;
		machine.event++;
		own.event++;
		/* The second time what was remembered may serve. */
		for (u32 again = 0; again < 2; again++) {
			fresh();
			scratch->asked = (u64)dentries[down];
			scratch->asked_mount = (u64)asked;
			got = kiln_resolve_host(scratch);
			if (want == PATH_NONE && got != PATH_NONE)
				FAIL("the machine's: a path at %u instead of none\n", got);
			if (want != PATH_NONE) {
				twice = true;
				compare("the machine's", want, got);
				twice = false;
			}
			done++;
		}
		seen[want == PATH_NONE ? 0 : want == PATH_FAIL ? 1 : 2]++;
		for (u32 at = 0; at <= depth; at++)
			dentries[at]->d_sb = &disk;
	}
	task.nsproxy = &proxy;
	if (!seen[0] || !seen[1] || !seen[2])
		FAIL("of the machine's names only %u, %u, %u were met\n", seen[0], seen[1], seen[2]);
	/* What is a part of no tree is unknown, not nameless. */
	disks[1].s_root = &(struct dentry){0};
	scratch->asked_mount = 0;
	scratch->asked = (u64)dentries[0];
	dentries[0]->d_sb = &disks[1];
	mounted(0, &(struct dentry){0}, NULL, NULL)->mnt_ns = &machine;
	mounts[0]->mnt.mnt_sb = &disks[1];
	disks[1].s_mounts.next = &mounts[0]->mnt_instance;
	mounts[0]->mnt_instance.next = &disks[1].s_mounts;
	if (kiln_resolve_host(scratch) != PATH_FAIL)
		FAIL("a part of no tree has a name\n");
	dentries[0]->d_sb = &disk;
	/* Nor is a list that is being changed the whole. */
	dentries[0]->d_sb = &disks[1];
	disks[1].s_root = dentries[0];
	mounts[0]->mnt_ns = &own;
	mounts[0]->mnt_instance.next = (void *)0x100;
	if (kiln_resolve_host(scratch) != PATH_FAIL)
		FAIL("a torn list has an end\n");
	/* One that leads round in a circle ends with the steps, in all turns together, and what leads into another at
	 * once. */
	mounts[0]->mnt_instance.next = &mounts[0]->mnt_instance;
	if (kiln_resolve_host(scratch) != PATH_FAIL || scratch->left)
		FAIL("a list without an end has one\n");
	mounted(1, dentries[0], NULL, NULL);
	mounts[0]->mnt_instance.next = &mounts[1]->mnt_instance;
	mounts[1]->mnt_instance.next = &mounts[1]->mnt_instance;
	if (kiln_resolve_host(scratch) != PATH_FAIL || scratch->left < KILN_SEARCH_STEPS - 100)
		FAIL("another file system's list was followed\n");
	dentries[0]->d_sb = &disk;
}

/* Trees of mounts that change while they are read: what was taken out, and a circle. */
static void every_torn_tree(void)
{
	u32 lens[] = {3};

	tree(1, lens);
	dentries[1]->d_sb = &disk;
	own.root = mounted(0, dentries[0], NULL, NULL);
	mounted(1, dentries[1], mounts[0], dentries[1]);
	mounts[0]->mnt_mounts.next = mounts[0]->mnt_mounts.prev = &mounts[1]->mnt_child;
	mounts[1]->mnt_mounts.next = mounts[1]->mnt_mounts.prev = &mounts[1]->mnt_mounts;
	mounts[1]->mnt_child.next = mounts[1]->mnt_child.prev = &mounts[1]->mnt_child;
	if (kiln_resolve_any(scratch, NULL, dentries[1]) != PATH_FAIL || scratch->left)
		FAIL("a tree without an end has one\n");
	mounts[1]->mnt_ns = NULL;
	if (kiln_resolve_any(scratch, NULL, dentries[1]) != PATH_FAIL || scratch->left < KILN_SEARCH_STEPS - 100)
		FAIL("what was taken out of the tree was followed\n");
	mounts[1]->mnt_ns = &own;
	mounts[1]->mnt_child.next = mounts[1]->mnt_child.prev = &mounts[0]->mnt_mounts;
	if (kiln_resolve_any(scratch, NULL, dentries[1]) == PATH_FAIL)
		FAIL("a whole tree is unknown\n");
	own.root = NULL;
}
