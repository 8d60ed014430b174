/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A file's new name gives it no verb that its old name lacks: else a denied file
 * would be moved to where it is permitted. Create and delete are of names, not
 * of what they name.
 */
#ifndef KILN_RENAME_H
#define KILN_RENAME_H

#define KILN_CARRIED (V(READ) | V(MODIFY) | V(SETATTR) | V(EXEC) | V(LOAD) | V(BIND) | V(CONNECT) | V(ACCEPT))

/* The state after s->path[s->pos..]. */
__noinline u32 kiln_reach(struct kiln_tables *t, struct kiln_scratch *s, u32 state)
{
	if (!t || !s)
		return 0;
	return kiln_walk_path(t, state, s->path, &s->pos, KILN_PATH_MAX);
}

/* Where a name leads in the automaton, and what is decided there. */
struct kiln_place {
	u32 pos;   /* of the path in the scratch; PATH_FAIL: it could not be resolved */
	u32 index; /* of the decision */
	u32 below; /* the state of what lies below it */
};

/* What decides a name: all blocks of a subject by the task's name, or its guards by the machine's. */
struct kiln_view {
	u32 start, otherwise, fail, governed;
};

static __always_inline void kiln_find(struct kiln_place *place, struct kiln_who *who, const struct kiln_view *view,
				      struct kiln_scratch *s, struct vfsmount *mnt, struct dentry *dentry, bool host)
{
	const u8 slash[1] = {'/'};
	u32 state, accepted;
	u64 below;

	place->below = 0;
	if (host) {
		s->asked = (u64)dentry;
		s->asked_mount = 0;
		place->pos = kiln_resolve_host(s);
	} else {
		place->pos = kiln_resolve_any(s, mnt, dentry);
	}
	place->index = view->fail;
	if (place->pos == PATH_FAIL || place->pos == PATH_NONE)
		return;
	s->pos = place->pos;
	state = kiln_reach(who->t, s, view->start);
	accepted = kiln_accept(who->t, state);
	place->index = accepted ? accepted : view->otherwise;
	below = state;
	KILN_STEP(who->t, below, slash, 0, KILN_PATH_CLASS);
	place->below = below;
}

/*
 * Whether all that lies below `to` is decided as strictly as below `from`. One
 * state is one answer for all of it; of two only that is known which the dead
 * one, with the default decision for everything, makes sure.
 */
static __always_inline bool kiln_as_strict(struct kiln_who *who, const struct kiln_view *view, struct kiln_place *from,
					   struct kiln_place *to)
{
	struct kiln_decision *d = kiln_decision_at(who->t, view->otherwise);
	u32 governed = view->governed & KILN_CARRIED;

	if (from->below == to->below)
		return true;
	if (!d)
		return false;
	return (!from->below && !((d->deny | d->would) & governed)) || (!to->below && (d->deny & governed) == governed);
}

static __always_inline int kiln_compare_names(struct kiln_who *who, const struct kiln_view *view,
					      struct kiln_scratch *s, struct kiln_about *about,
					      struct vfsmount *from_mnt, struct dentry *from, struct vfsmount *to_mnt,
					      struct dentry *to, bool host)
{
	struct kiln_place old, new;
	struct kiln_decision *had, *gets;
	u32 gained;

	about->firm = host;
	/* The old name last: its path stays in the scratch for the report. */
	kiln_find(&new, who, view, s, to_mnt, to, host);
	kiln_find(&old, who, view, s, from_mnt, from, host);
	/* Both are of one file system: the machine has a name for neither, or a part of it is shown to some only. */
	if (old.pos == PATH_NONE)
		return 0;
	about->pos = old.pos;
	/* Of two names that are unknown nothing says that they are decided alike. */
	if (old.pos == PATH_FAIL || new.pos == PATH_FAIL || new.pos == PATH_NONE ||
	    ((BPF_CORE_READ(from, d_inode, i_mode) & S_IFMT) == S_IFDIR && !kiln_as_strict(who, view, &old, &new))) {
		about->reason = KILN_R_PATH;
		return kiln_decide(who, s, about, view->fail, KILN_CARRIED);
	}
	had = kiln_decision_at(who->t, old.index);
	gets = kiln_decision_at(who->t, new.index);
	if (!had || !gets)
		return -EPERM;
	gained = had->deny & ~gets->deny & KILN_CARRIED;
	if (!gained)
		gained = had->would & ~(gets->would | gets->deny | had->deny) & KILN_CARRIED;
	return gained ? kiln_apply_here(who, s, about, old.index, gained, false) : 0;
}

static __always_inline int kiln_check_renaming(struct vfsmount *from_mnt, struct dentry *from, struct vfsmount *to_mnt,
					       struct dentry *to)
{
	struct kiln_about about = {.kind = KILN_O_PATH, .pos = PATH_FAIL};
	struct kiln_view view = {};
	struct kiln_scratch *s;
	struct kiln_who who = {};
	int entry = kiln_enter(&who, KILN_CARRIED), ret = 0;

	if (entry == KILN_PASS)
		return 0;
	s = kiln_scratch_take();
	if (entry == KILN_BROKEN || !s || !who.s) {
		ret = kiln_refuse(&who.id, s, &about, KILN_CREATE,
				  entry == KILN_BROKEN ? KILN_R_TABLES
				  : !s		       ? KILN_R_MEMORY
						       : KILN_R_LABEL);
		goto out;
	}
	view.start = who.s->path_start;
	view.otherwise = who.s->path_default;
	view.fail = who.s->fail;
	view.governed = who.s->verbs;
	ret = kiln_compare_names(&who, &view, s, &about, from_mnt, from, to_mnt, to, false);
	if (ret || !(who.s->guard_verbs & KILN_CARRIED))
		goto out;
	view.start = who.s->guard_start;
	view.otherwise = 0;
	view.fail = who.s->guard_fail;
	view.governed = who.s->guard_verbs;
	ret = kiln_compare_names(&who, &view, s, &about, from_mnt, from, to_mnt, to, true);
out:
	if (s)
		kiln_scratch_give(s);
	return ret;
}

#endif
