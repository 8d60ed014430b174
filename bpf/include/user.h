/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* As which user a task acts, and which selectors of a policy match that user. */
#ifndef KILN_USER_H
#define KILN_USER_H

/* A user's number, as the first user namespace has it; or one of these. */
#define KILN_USER_CURRENT (1ull << 32) /* of the current task */
#define KILN_USER_NONE (2ull << 32)    /* nobody knows: what refuses by a user does, what permits by one does not */

#define KILN_UNKNOWN_USER (~0u)

/* The selectors that match a user; 0: none. The search has no branch: the verifier would follow both ways of each. */
static __always_inline u32 kiln_user_bits(struct kiln_tables *t, u32 uid)
{
	u64 at = 0, step, *word;

#pragma unroll
	for (step = KILN_USERS / 2; step; step /= 2) {
		u64 next = at + step, later;

		word = kiln_words(t, t->hdr.users_off + next, 1);
		if (!word)
			return KILN_UNKNOWN_USER;
		/* The sign bits: not after it, and one of them. */
		later = (u64)uid - (u32)*word;
		later = ~later & (next - t->hdr.n_users);
		barrier_var(later);
		at += (later >> 63) * step;
	}
	word = kiln_words(t, t->hdr.users_off + at, 1);
	if (!word)
		return KILN_UNKNOWN_USER;
	return t->hdr.n_users && (u32)*word == uid ? *word >> 32 : 0;
}

/*
 * The user of the current thread is the one as whom it acts: the effective one, and that of files (setfsuid(2)). The
 * thread's own credentials count, too: those of a ring's request, of an overlay or of access(2) are lent. Where they
 * do not match the same selectors it is unknown who asks. A thread that the kernel runs for a ring has those that its
 * process had when it was made, so there the process's are its own.
 */
static __always_inline u32 kiln_current_matches(struct kiln_tables *t)
{
	struct task_struct *task = bpf_get_current_task_btf();
	bool works = task->flags & PF_IO_WORKER;
	const struct cred *own = works ? task->group_leader->real_cred : task->real_cred;
	const struct cred *now = task->cred;
	u32 as = now->euid.val, of_files = now->fsuid.val, itself = own->euid.val, matching;

	matching = kiln_user_bits(t, as);
	if (of_files != as && kiln_user_bits(t, of_files) != matching)
		return KILN_UNKNOWN_USER;
	if (itself != as && kiln_user_bits(t, itself) != matching)
		return KILN_UNKNOWN_USER;
	return matching;
}

/* A global function, so that the verifier looks at it once a program. */
__noinline u32 kiln_user_matches(u32 generation, u64 user)
{
	struct kiln_tables *t = kiln_generation(generation);

	if (!t || user >= KILN_USER_NONE)
		return KILN_UNKNOWN_USER;
	return user == KILN_USER_CURRENT ? kiln_current_matches(t) : kiln_user_bits(t, user);
}

/* Of what arrives in no task's context: the user who made the socket. */
static __always_inline u64 kiln_user_of(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_uid.val);
}

#endif
