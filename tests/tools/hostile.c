/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hostile.c - a decoder that somebody has taken over
 *
 * It is started by suntapd in the decoder's place, enters the decoder's own sandbox (sandbox.c), and then does what an attacker
 * would do, one thing after the other: from the one whose number is in the environment (HOSTILE_FIRST), HOSTILE_COUNT of them.
 * How many it has tried it keeps in the page of the ring that readers may write, so that being killed for one
 * leads to the next. Each is announced on standard error before ("try NAME") and, if it is
 * still alive, judged afterwards ("refused NAME" or "DONE NAME").
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "decoder/sandbox.h"
#include "shared/control.h"
#include "shared/ring.h"
#include "shared/util.h"

static struct ring_view ring;
static pid_t parent;

/* Each returns whether it got what it wanted. */
static bool opens_a_file(void)
{
	return open("/etc/hostname", O_RDONLY) >= 0;
}

static bool writes_a_file(void)
{
	return syscall(SYS_openat, AT_FDCWD, "/run/owned", O_WRONLY | O_CREAT, 0600) >= 0;
}

static bool opens_its_parents_memory(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)parent);
	return syscall(SYS_openat, AT_FDCWD, path, O_RDWR) >= 0;
}

static bool makes_an_internet_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static bool makes_a_netlink_socket(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 12) >= 0;
}

static bool connects_what_it_has(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/private" };

	return connect(CONTROL_FD_SOCKET, (const struct sockaddr *)&a, sizeof(a)) == 0;
}

static bool signals_suntapd(void)
{
	return kill(parent, SIGSTOP) == 0;
}

static bool signals_by_thread(void)
{
	return syscall(SYS_tgkill, parent, parent, SIGKILL) == 0;
}

static bool traces_suntapd(void)
{
	return ptrace(PTRACE_ATTACH, parent, 0, 0) == 0;
}

static bool reads_suntapds_memory(void)
{
	char byte;
	struct iovec here = { &byte, 1 }, there = { &ring, 1 };

	return process_vm_readv(parent, &here, 1, &there, 1, 0) > 0;
}

static bool takes_suntapds_descriptors(void)
{
	return syscall(SYS_pidfd_open, parent, 0) >= 0;
}

static bool executes(void)
{
	return execl("/bin/true", "true", NULL) == 0;
}

static bool forks(void)
{
	return syscall(SYS_fork) > 0;
}

static bool maps_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static bool makes_code_of_data(void)
{
	return mprotect((void *)((uintptr_t)&ring & ~(uintptr_t)4095), 4096, PROT_READ | PROT_EXEC) == 0;
}

static bool writes_the_ring(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, CONTROL_FD_RING, 0) != MAP_FAILED;
}

static bool writes_the_flow_table(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, CONTROL_FD_FLOWS, 0) != MAP_FAILED;
}

static bool cuts_the_ring(void)
{
	return ftruncate(CONTROL_FD_RING, 0) == 0 || ftruncate(CONTROL_FD_HEAD, 0) == 0 || ftruncate(CONTROL_FD_FLOWS, 0) == 0;
}

static bool wins_back_rights(void)
{
	return setuid(0) == 0 || prctl(PR_SET_DUMPABLE, 1) == 0 || syscall(SYS_unshare, 0x10000000) == 0;
}

static bool raises_its_limits(void)
{
	const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };

	return setrlimit(RLIMIT_AS, &none) == 0 || setrlimit(RLIMIT_CORE, &none) == 0;
}

/* From here on: what it may do, and what suntapd has to live with. */
static bool talks_nonsense(void)
{
	for (unsigned i = 0; i < 5000; i++) {
		struct control_message m = { .kind = i % 7, .reserved = i, .flow = (uint64_t)i * 0x9e3779b97f4a7c15u };

		send(CONTROL_FD_SOCKET, &m, i % sizeof(m), MSG_DONTWAIT | MSG_NOSIGNAL);
		send(CONTROL_FD_SOCKET, &m, sizeof(m), MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	return false;
}

static bool rings_without_end(void)
{
	uint64_t most = UINT64_MAX - 1;

	for (int i = 0; i < 1000; i++)
		if (write(CONTROL_FD_BELL, &most, sizeof(most)) < 0)
			break;
	return false;
}

static bool falsifies_its_state(void)
{
	for (unsigned i = 0; i < 100000; i++) {
		atomic_store(&ring.reader->rest, i * 2654435761u);
		atomic_store(&ring.reader->state, i * 2654435761u);
		atomic_store(&ring.reader->readings, UINT64_MAX - i);
	}
	return false;
}

static bool falsifies_the_head(void)
{
	static const uint64_t places[] = { 1, UINT64_MAX, UINT64_MAX / 2, 1 << 20, 3 };
	uint64_t head = atomic_load(&ring.reader->head);

	for (unsigned i = 0; i < 100000; i++)
		atomic_store(&ring.reader->head, head + places[i % ARRAY_SIZE(places)]);
	atomic_store(&ring.reader->head, UINT64_MAX / 2);
	pause();	/* suntapd sees it, and ends us */
	return false;
}

static bool fills_its_memory(void)
{
	size_t all = 0;

	for (;;) {
		char *p = malloc(1 << 20);

		if (!p)
			break;
		memset(p, 1, 1 << 20);
		all += 1 << 20;
	}
	return all > (size_t)2048 << 20;
}

static bool crashes(void)
{
	*(volatile int *)(uintptr_t)parent = 1;
	return true;
}

static const struct {
	const char *name;
	bool (*try)(void);
} attempts[] = {
	{ "open a file", opens_a_file }, { "write a file", writes_a_file }, { "open suntapd's memory", opens_its_parents_memory },
	{ "internet socket", makes_an_internet_socket }, { "netlink socket", makes_a_netlink_socket },
	{ "connect", connects_what_it_has }, { "signal suntapd", signals_suntapd }, { "signal a thread", signals_by_thread },
	{ "trace suntapd", traces_suntapd }, { "read suntapd's memory", reads_suntapds_memory },
	{ "take suntapd's descriptors", takes_suntapds_descriptors }, { "execute", executes }, { "fork", forks },
	{ "map code", maps_code }, { "make code of data", makes_code_of_data }, { "write the ring", writes_the_ring },
	{ "write the flow table", writes_the_flow_table }, { "cut the ring", cuts_the_ring },
	{ "win back rights", wins_back_rights }, { "raise limits", raises_its_limits }, { "talk nonsense", talks_nonsense },
	{ "ring without end", rings_without_end }, { "falsify its state", falsifies_its_state },
	{ "fill its memory", fills_its_memory }, { "falsify the head", falsifies_the_head }, { "crash", crashes },
};

static void say(const char *what, const char *name)
{
	char line[96];
	int n = snprintf(line, sizeof(line), "hostile: %s %s\n", what, name);

	if (write(STDERR_FILENO, line, (size_t)n) < 0)	/* dprintf() would want to seek */
		_exit(EXIT_FAILURE);
}

int main(void)
{
	const struct ring_fds fds = { CONTROL_FD_RING, CONTROL_FD_HEAD, CONTROL_FD_BELL };
	const char *first = getenv("HOSTILE_FIRST"), *count = getenv("HOSTILE_COUNT");
	uint64_t begin = first ? strtoul(first, NULL, 10) : 0, many = count ? strtoul(count, NULL, 10) : ARRAY_SIZE(attempts);
	int probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	parent = getppid();
	if (ring_view_open(&ring, &fds) < 0 || sandbox_enter("suntap", probe, 2 * ring.size) < 0) {
		say("could not start", "");
		return EXIT_FAILURE;
	}
	for (;;) {
		uint64_t tried = atomic_load(&ring.reader->untapped), next = begin + tried;

		if (tried >= many || next >= ARRAY_SIZE(attempts)) {
			say("end", "");
			for (;;)
				pause();
		}
		atomic_store(&ring.reader->untapped, tried + 1);
		say("try", attempts[next].name);
		say(attempts[next].try() ? "DONE" : "refused", attempts[next].name);
	}
}
