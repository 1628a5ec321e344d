/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sandbox.c - lock the decoder in before it sees the first byte; see sandbox.h */
#include "decoder/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <seccomp.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shared/util.h"

enum { NOBODY = 65534, MEMORY_MOST_MIB = 1024 };

/* What a decoder needs. */
static const int allowed[] = {
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(poll), SCMP_SYS(ppoll),
	SCMP_SYS(sendmsg), SCMP_SYS(sendto), SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(newfstatat),
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex),
	SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
	SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(exit), SCMP_SYS(exit_group),
};

/* What only somebody else's code in here would try: it ends at once, and is seen in the journal. */
static const int deadly[] = {
	SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(clone), SCMP_SYS(clone3),
	SCMP_SYS(socket), SCMP_SYS(socketpair), SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4),
	SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(kill), SCMP_SYS(tkill),
	SCMP_SYS(pidfd_open), SCMP_SYS(pidfd_getfd), SCMP_SYS(pidfd_send_signal), SCMP_SYS(io_uring_setup),
	SCMP_SYS(bpf), SCMP_SYS(mount), SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(memfd_create),
	SCMP_SYS(mprotect), SCMP_SYS(userfaultfd), SCMP_SYS(perf_event_open),
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(creat),
};

static int filter(int probe_fd)
{
	/* a refusal, not a death, for what nobody thought of: another libc may ask for something harmless */
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int e = 0;

	if (!ctx)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(allowed) && e == 0; i++)
		e = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	for (size_t i = 0; i < ARRAY_SIZE(deadly) && e == 0; i++)
		e = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, deadly[i], 0);
	if (e == 0)
		e = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (e == 0)
		e = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(connect), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)probe_fd, 0));
	if (e == 0)
		e = seccomp_load(ctx);
	seccomp_release(ctx);
	return e;
}

static int become(const char *user)
{
	const struct passwd *pw = getpwnam(user);
	uid_t uid = pw ? pw->pw_uid : NOBODY;
	gid_t gid = pw ? pw->pw_gid : NOBODY;

	/* EINVAL: a user namespace in which only root exists; there is nobody else to become */
	if (setgroups(0, NULL) < 0 && errno != EPERM)
		return -errno;
	if (setresgid(gid, gid, gid) < 0 && errno != EINVAL)
		return -errno;
	if (setresuid(uid, uid, uid) < 0 && errno != EINVAL)
		return -errno;
	return 0;
}

static int limit(__rlimit_resource_t resource, rlim_t most)
{
	const struct rlimit l = { .rlim_cur = most, .rlim_max = most };
	struct rlimit now;

	if (getrlimit(resource, &now) == 0 && now.rlim_max < most)
		return 0;
	return setrlimit(resource, &l) < 0 ? -errno : 0;
}

int sandbox_enter(const char *user, int probe_fd, uint64_t mapped)
{
	bool had_any;
	int e = 0;

	if (geteuid() == 0)
		e = become(user);
	if (e < 0)
		return e;
	/*
	 * Started as a user other than root it has none, and the unit's filter knows no capset(): what may stay is the
	 * inheritable set, which means nothing with no_new_privs, as does the bounding set.
	 */
	if (capng_get_caps_process() < 0)
		return -EPERM;
	had_any = capng_have_permitted_capabilities() != CAPNG_NONE;
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_apply(CAPNG_SELECT_CAPS) < 0 && had_any)
		return -EPERM;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_DUMPABLE, INSTRUMENTED, 0, 0, 0) < 0)
		return -errno;
	e = limit(RLIMIT_CORE, 0);
	if (INSTRUMENTED)
		return e;	/* reports are written to files, leaks looked for from a clone that traces us */
	if (e == 0)
		e = limit(RLIMIT_AS, (rlim_t)MEMORY_MOST_MIB * 1024 * 1024 + mapped);
	return e < 0 ? e : filter(probe_fd);
}
