/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * glutton.c - a decoder that takes all it can get, before it has locked itself in
 *
 * It is put in the decoder's place in a unit's cgroup. GLUTTON=tasks: processes, until there are no more, which then
 * stay; otherwise memory, without end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
	const char *what = getenv("GLUTTON");

	if (what && strcmp(what, "tasks") == 0) {
		int children = 0;
		pid_t pid;

		while ((pid = fork()) > 0 && children < 1000)
			children++;
		if (pid < 0)
			fprintf(stderr, "glutton: %d more, then: %m\n", children);
		for (;;)
			pause();
	}
	for (;;) {
		char *p = malloc(1 << 20);

		if (p)
			memset(p, 1, 1 << 20);
	}
}
