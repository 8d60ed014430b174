/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A dynamic program: ends with the status that proves it ran, or, made with QUIET, with another. */
int main(void)
{
#ifdef QUIET
	return 7;
#else
	return 42;
#endif
}
