/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lacking_kernel.c - preloaded: a kernel that lacks something, or another program that is always quicker
 *
 * With LACKING=NAME the name of an expression (or of a type of chain) is spoilt on its way to the kernel, whose own
 * ENOENT comes back. Whenever a policy rule was added, /run/adversary is executed, if there is one.
 */
#include <dlfcn.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

ssize_t sendto(int fd, const void *buf, size_t size, int flags, const struct sockaddr *to, socklen_t length)
{
	ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
	const char *lacking = getenv("LACKING");
	char *copy = malloc(size), *at;

	*(void **)&real = dlsym(RTLD_NEXT, "sendto");
	memcpy(copy, buf, size);
	if (to && to->sa_family == AF_NETLINK && lacking)
		/* with its NUL, so that a set or a table of a similar name is left alone */
		while ((at = memmem(copy, size, lacking, strlen(lacking) + 1)))
			at[strlen(lacking) - 1] = '!';
	size = (size_t)real(fd, copy, size, flags, to, length);
	if (((const struct nlmsghdr *)buf)->nlmsg_type == RTM_NEWRULE && access("/run/adversary", X_OK) == 0 &&
	    system("env -u LD_PRELOAD /run/adversary") != 0)
		abort();
	free(copy);
	return (ssize_t)size;
}
