/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rules_holder.c - rules.c without the daemon around it, for test_rules.py
 *
 *	rules_holder FILE	installs; then each line of standard input is a command, answered by one line:
 *		update FILE | repair | wait MS (for the monitor) | remove | keep | mac ADDRESS | print
 *	rules_holder --print FILE
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "shared/config.h"
#include "suntapd/notify.h"
#include "suntapd/route.h"
#include "suntapd/rules.h"
#include "suntapd/store.h"

static void answer(int r, char *text)
{
	printf("%d %s\n", r, text ? text : "");
	fflush(stdout);
	free(text);
}

static void find_mac(const char *address)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	bool v4 = inet_pton(AF_INET, address, &in.sin_addr) == 1;
	uint8_t mac[6];
	char *text = NULL;
	int r;

	if (!v4 && inet_pton(AF_INET6, address, &in6.sin6_addr) != 1)
		abort();
	r = neighbour_mac(v4 ? (struct sockaddr *)&in : (struct sockaddr *)&in6, mac);
	if (r == 0 && asprintf(&text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]) < 0)
		abort();
	answer(r, text);
}

int main(int argc, char **argv)
{
	struct config *c = NULL;
	struct rules *rules = NULL;
	char line[4096], *why = NULL;
	int r;

	if (argc < 2 || config_load(&c, argv[argc - 1], stderr) < 0)
		return 2;
	if (argc > 2) {
		rules_print(c, stdout);
		config_free(c);
		return 0;
	}
	if (notify_open() < 0 || store_open() < 0)
		return 2;
	r = rules_install(&rules, c, &why);
	if (r == 0 && !why && rules_remark(rules))
		why = strdup(rules_remark(rules));
	answer(r, why);
	c = config_free(c);
	if (r < 0)
		return 1;
	while (fgets(line, sizeof(line), stdin)) {
		why = NULL;
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "update ", 7) == 0) {
			struct config *new;

			if (config_load(&new, line + 7, stderr) < 0)
				return 2;
			r = rules_update(rules, new, &why);
			config_free(new);
			answer(r, why);
		} else if (strcmp(line, "repair") == 0) {
			r = rules_repair(rules, &why);
			answer(r, why);
		} else if (strncmp(line, "wait ", 5) == 0) {
			struct pollfd p = { .fd = rules_monitor_fd(rules), .events = POLLIN };

			answer(poll(&p, 1, atoi(line + 5)), NULL);
		} else if (strcmp(line, "remove") == 0 || strcmp(line, "keep") == 0) {
			rules = rules_remove(rules, *line == 'k');
			answer(0, NULL);
		} else if (strncmp(line, "mac ", 4) == 0) {
			find_mac(line + 4);
		} else {
			return 2;
		}
	}
	rules_remove(rules, false);
	return 0;
}
