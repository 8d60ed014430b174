/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A library that takes over any program it is loaded into. It needs no other library, so that LD_AUDIT takes it too. */
static void leave(void)
{
	__asm__ volatile("syscall" : : "a"(231 /* exit_group */), "D"(42) : "rcx", "r11", "memory");
}

__attribute__((constructor)) static void take_over(void)
{
	leave();
}

/* With this, LD_AUDIT takes the library for an auditor. */
unsigned int la_version(unsigned int version)
{
	leave();
	return version;
}
