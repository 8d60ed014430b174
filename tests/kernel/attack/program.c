/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Programs that get more by execve(2) than their name was permitted. */
#include "attack.h"
#include <elf.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/xattr.h>

static int execute(const char *path)
{
	char *const arguments[] = {(char *)path, NULL};
	char *const environment[] = {NULL};

	execve(path, arguments, environment);
	return -errno;
}

/*
 * A program of one page that writes code to where the kernel made memory for it and runs it there: exit(RAN). With
 * `stack` that is the stack, which the file asks to be executable; else the end of the code's own segment.
 */
static void make_program(const char *path, int stack)
{
	struct made {
		Elf64_Ehdr head;
		Elf64_Phdr parts[2];
		unsigned char code[64];
	} * file;
	/* push RAN; pop rdi; push 60; pop rax; syscall */
	static const unsigned char leave[8] = {0x6a, RAN, 0x5f, 0x6a, 0x3c, 0x58, 0x0f, 0x05};
	/* lea rax, [rsp - 64], or mov eax, 0x401000 */
	static const unsigned char to_stack[5] = {0x48, 0x8d, 0x44, 0x24, 0xc0}, to_end[5] = {0xb8, 0, 0x10, 0x40, 0};
	static char page[4096];
	int to;

	file = (void *)page;
	memset(page, 0, sizeof(page));
	memcpy(file->head.e_ident, ELFMAG, SELFMAG);
	file->head.e_ident[EI_CLASS] = ELFCLASS64;
	file->head.e_ident[EI_DATA] = ELFDATA2LSB;
	file->head.e_ident[EI_VERSION] = EV_CURRENT;
	file->head.e_type = ET_EXEC;
	file->head.e_machine = EM_X86_64;
	file->head.e_version = EV_CURRENT;
	file->head.e_entry = 0x400000 + offsetof(struct made, code);
	file->head.e_phoff = offsetof(struct made, parts);
	file->head.e_ehsize = sizeof(Elf64_Ehdr);
	file->head.e_phentsize = sizeof(Elf64_Phdr);
	file->head.e_phnum = 2;
	file->parts[0] = (Elf64_Phdr){.p_type = PT_LOAD,
				      .p_flags = PF_R | PF_X,
				      .p_vaddr = 0x400000,
				      .p_filesz = 4096,
				      .p_memsz = stack ? 4096 : 8192,
				      .p_align = 4096};
	file->parts[1] = (Elf64_Phdr){.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W | (stack ? PF_X : 0)};
	memcpy(file->code, stack ? to_stack : to_end, 5);
	file->code[5] = 0x48; /* mov rcx, leave */
	file->code[6] = 0xb9;
	memcpy(file->code + 7, leave, 8);
	memcpy(file->code + 15, (unsigned char[]){0x48, 0x89, 0x08, 0xff, 0xe0}, 5); /* mov [rax], rcx; jmp rax */
	to = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0755);
	if (to < 0 || write(to, page, sizeof(page)) != sizeof(page))
		unattempted("making %s", path);
	close(to);
}

/* exec-made FILE KIND: a program whose `stack` or `end` is executable memory. */
static void prepare_made(int argc, char **argv)
{
	make_program(argument(argc, argv, 0), strcmp(argument(argc, argv, 1), "stack") == 0);
}

static int run_made(int argc, char **argv)
{
	return execute(argument(argc, argv, 0));
}

/* exec-able FILE: a program that has capabilities of its own; whoever executes it has none. */
static void prepare_able(int argc, char **argv)
{
	struct vfs_cap_data data = {.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
				    .data[0] = {.permitted = 1u << CAP_NET_RAW}};

	if (setxattr(argument(argc, argv, 0), "security.capability", &data, XATTR_CAPS_SZ_2, 0))
		unattempted("setxattr");
}

/* traced-exec PROGRAM: by a child that its parent traces. */
static int run_traced_exec(int argc, char **argv)
{
	const char *program = argument(argc, argv, 0);
	int status;
	pid_t child = fork();

	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(ENOSYS);
		_exit(-execute(program));
	}
	if (waitpid(child, &status, 0) != child)
		unattempted("waitpid");
	if (WIFEXITED(status)) {
		if (WEXITSTATUS(status) == ENOSYS)
			unattempted("PTRACE_TRACEME");
		return -WEXITSTATUS(status);
	}
	/* It has executed, and waits for what it is told to do. */
	kill(child, SIGKILL);
	return 0;
}

static int share_exec(void *program)
{
	_exit(-execute(program));
}

/* sharing-exec PROGRAM: by a child whose folder and root are its parent's, too. */
static int run_sharing_exec(int argc, char **argv)
{
	static char stack[65536] __attribute__((aligned(16)));
	int status;
	pid_t child = clone(share_exec, stack + sizeof(stack), CLONE_FS | SIGCHLD, (void *)argument(argc, argv, 0));

	if (child < 0)
		unattempted("clone");
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		unattempted("waitpid");
	return WEXITSTATUS(status) == RAN ? 0 : -WEXITSTATUS(status);
}

/* exec-as FILE: what binfmt_misc's interpreter finds is in read_given(). */
int read_given(void)
{
	unsigned long file = getauxval(AT_EXECFD);
	char byte;

	return read((int)file, &byte, 1) == 1 ? RAN : errno;
}

const struct attack program_attacks[] = {
    {"exec-made", prepare_made, run_made},
    {"exec-able", prepare_able, run_made},
    {"traced-exec", NULL, run_traced_exec},
    {"sharing-exec", NULL, run_sharing_exec},
    {0},
};
