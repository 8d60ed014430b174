/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What this kernel calls a file below an overlay's: the bits are learnt where it makes one. */

/*
 * Before such a file is opened. `flags` is its first argument, whatever comes after it; bits of f_mode that come from
 * there are anybody's.
 */
SEC("?fexit/alloc_empty_backing_file")
NEEDS("file kernel:exec_memory")
int BPF_PROG(kiln_backing, int flags)
{
	u64 made = 0;
	u32 mode;

	if (*(volatile u64 *)&kiln_state.backing || bpf_get_func_ret(ctx, &made) || !made || made >= -4095ull)
		return 0;
	if (bpf_core_read(&mode, sizeof(mode), &((struct file *)made)->f_mode))
		return 0;
	*(volatile u64 *)&kiln_state.backing = mode & ~(u32)flags & ~(FMODE_READ | FMODE_WRITE);
	return 0;
}
