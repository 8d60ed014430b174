/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The wall clock, and which windows are open by it: known without the agent, at each request. */
#ifndef KILN_CLOCK_H
#define KILN_CLOCK_H

#define KILN_SECOND 1000000000ull

/*
 * Nanoseconds of the wall clock; 0: not known. No helper of 6.1 or 6.12 gives them. They are those of the monotonic
 * clock and the one word by which the kernel's timekeeper keeps the two apart: settimeofday(2), adjtimex(2), a leap
 * second and a resume change that word, and TAI has no part in it.
 */
static __always_inline u64 kiln_wall_by(u64 timekeeper)
{
	struct timekeeper *tk = (void *)timekeeper;
	s64 apart = 0;

	if (!tk || bpf_core_read(&apart, sizeof(apart), &tk->offs_real))
		return 0;
	return bpf_ktime_get_ns() + apart;
}

#ifndef KILN_WALL_SECONDS
#define KILN_WALL_SECONDS() (kiln_wall_by(*(volatile u64 *)&kiln_clock.timekeeper) / KILN_SECOND)
#endif

#define KILN_UNKNOWN_WINDOWS (~0ull)

/*
 * Which windows of a generation are open at a second; KILN_UNKNOWN_WINDOWS. The search for the last entry that is not
 * after it has no branch: the verifier would follow both ways of each.
 */
static __always_inline u64 kiln_windows_at(u32 generation, u64 now)
{
	u64 g = generation & (KILN_GENERATIONS - 1), turn = *(volatile u64 *)&kiln_clock.turn[g];
	struct kiln_schedule *s = &kiln_clock.schedule[g][turn & 1];
	u64 n = *(volatile u64 *)&s->n, at = 0, step, open;

	if (!now || now < *(volatile u64 *)&s->from || now >= *(volatile u64 *)&s->until)
		return KILN_UNKNOWN_WINDOWS;
#pragma unroll
	for (step = KILN_OPENINGS / 2; step; step /= 2) {
		u64 next = (at + step) & (KILN_OPENINGS - 1), later;

		barrier_var(next);
		next &= KILN_OPENINGS - 1;
		later = now - (*(volatile u64 *)&s->entry[next] >> KILN_WINDOWS);
		/* The sign bits: not after now, and one of the n. */
		later = ~later & (next - n);
		barrier_var(later);
		at += (later >> 63) * step;
	}
	barrier_var(at);
	open = *(volatile u64 *)&s->entry[at & (KILN_OPENINGS - 1)];
	/* The agent writes the other one of the two: what was read is valid, if no more than one is newer. */
	if (*(volatile u64 *)&kiln_clock.turn[g] - turn > 1)
		return KILN_UNKNOWN_WINDOWS;
	return open & ((1ull << KILN_WINDOWS) - 1);
}

/*
 * The index of the subject that decides now for one that varies, where these selectors match the user; itself where it
 * is not known what is open or who asks. A global function, so that the verifier looks at it once a program.
 */
__noinline u32 kiln_deciding(u32 generation, u32 index, u32 matching)
{
	struct kiln_tables *t = kiln_generation(generation);
	struct kiln_subject *s;
	u64 open = 0, key = 0, *entry;
	u32 bit;

	if (!t)
		return index;
	s = kiln_subject_at(t, index);
	if (!s)
		return index;
	if (s->flags & KILN_S_TIMED)
		open = kiln_windows_at(generation, KILN_WALL_SECONDS());
	if (open == KILN_UNKNOWN_WINDOWS) {
		if (!(s->flags & KILN_S_USER))
			return index;
		open = 1ull << KILN_UNSURE_WINDOW;
	}
	if (s->flags & KILN_S_USER) {
		if (matching == KILN_UNKNOWN_USER)
			return index;
		open |= (u64)matching << KILN_WINDOWS;
	}
#pragma unroll
	for (bit = 0; bit < KILN_SUBJECT_WINDOWS; bit++)
		key |= (open >> (s->window[bit] & 63) & 1) << bit;
	entry = kiln_words(t, s->row + key, 1);
	return entry && *entry ? (u32)*entry : index;
}

#endif
