/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * route.c - rtnetlink: the policy route that brings marked packets to this machine, and neighbours
 *
 * Theory of operation
 *	What is there is dumped and compared with what is wanted; what is missing is added, what is of ours
 *	but of another configuration is deleted. So the start after a clean stop, the start after a crash and
 *	the repair are the same code. Ours is what carries our protocol number.
 *
 *	A mark is used by somebody else where a rule of his matches packets with our mark: where both agree in
 *	the bits that both masks have. Rules with masks that have no bit in common with ours are his business.
 */
#include "suntapd/route.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/util.h"
#include "suntapd/netlink.h"

enum { LOOPBACK = 1, RETRIES = 20 };

static const char *family_option(int family)
{
	return family == AF_INET6 ? " -6" : "";
}

bool route_family_usable(int family)
{
	struct sockaddr_in6 loopback = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	CLEANUP(closep) int fd = -1;

	if (family == AF_INET)
		return true;
	/* Not in /proc/sys, which a sandbox may hide. Without ::1 there is no listener to bring packets to. */
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && bind(fd, (struct sockaddr *)&loopback, sizeof(loopback)) == 0;
}

/* ---------------------------------------------------------------- what is there */

struct rule {
	uint32_t mark, mask, table, priority;
	uint8_t protocol, action;
	bool invert, other_selectors;
};

struct route {
	uint32_t table, oif;
	uint8_t protocol, type, scope, dst_len;
};

/* What a dump found; fixed arrays, since ours are two at most and of others one is enough to say. */
struct found {
	int family;
	const struct config *c;
	size_t right_rules, right_routes;	/* of ours, as wanted */
	struct rule stale_rules[16];		/* of ours, not as wanted (or one too many) */
	size_t stale_rule_count;
	struct route stale_routes[16];
	size_t stale_route_count;
	struct rule foreign_rule;		/* somebody else's that uses our mark */
	struct rule foreign_lookup;		/* … or our table */
	struct route foreign_route;
	bool has_foreign_rule, has_foreign_lookup, has_foreign_route;
	bool manual_rule, manual_route;		/* anybody's that would do for us */
	uint32_t taken_bits;			/* single bits that some rule matches */
};

static bool marks_overlap(const struct rule *r, uint32_t mark, uint32_t mask)
{
	uint32_t common = r->mask & mask;

	return common && (r->mark & common) == (mark & common);
}

static bool parse_rule(const struct nlmsghdr *m, struct rule *ret)
{
	const struct fib_rule_hdr *h = mnl_nlmsg_get_payload(m);
	static const uint8_t selectors[] = { FRA_IIFNAME, FRA_OIFNAME, FRA_L3MDEV, FRA_UID_RANGE, FRA_IP_PROTO,
					     FRA_SPORT_RANGE, FRA_DPORT_RANGE };
	const struct nlattr *at[FRA_MAX + 1];
	struct rule r = { 0 };

	if (mnl_nlmsg_get_payload_len(m) < sizeof(*h))
		return false;
	netlink_attributes(m, sizeof(*h), at, FRA_MAX);
	r.table = at[FRA_TABLE] ? netlink_u32(at[FRA_TABLE]) : h->table;
	r.action = h->action;
	r.invert = h->flags & FIB_RULE_INVERT;
	r.priority = netlink_u32(at[FRA_PRIORITY]);
	r.protocol = netlink_u8(at[FRA_PROTOCOL]);
	r.mark = netlink_u32(at[FRA_FWMARK]);
	r.mask = at[FRA_FWMASK] ? netlink_u32(at[FRA_FWMASK]) : r.mark ? UINT32_MAX : 0;
	r.other_selectors = h->src_len || h->dst_len || h->tos;
	for (size_t i = 0; i < ARRAY_SIZE(selectors); i++)
		r.other_selectors |= at[selectors[i]] != NULL;
	*ret = r;
	return true;
}

static bool parse_route(const struct nlmsghdr *m, struct route *ret)
{
	const struct rtmsg *h = mnl_nlmsg_get_payload(m);
	const struct nlattr *at[RTA_MAX + 1];

	if (mnl_nlmsg_get_payload_len(m) < sizeof(*h))
		return false;
	netlink_attributes(m, sizeof(*h), at, RTA_MAX);
	*ret = (struct route){
		.table = at[RTA_TABLE] ? netlink_u32(at[RTA_TABLE]) : h->rtm_table,
		.oif = netlink_u32(at[RTA_OIF]),
		.protocol = h->rtm_protocol,
		.type = h->rtm_type,
		.scope = h->rtm_scope,
		.dst_len = h->rtm_dst_len,
	};
	return true;
}

static int found_rule(const struct nlmsghdr *m, void *data)
{
	struct found *f = data;
	const struct config *c = f->c;
	struct rule r;

	if (m->nlmsg_type != RTM_NEWRULE || !parse_rule(m, &r))
		return MNL_CB_OK;
	if (marks_overlap(&r, c->mark, c->mark_mask) && r.table == c->route_table && r.action == FR_ACT_TO_TBL && !r.invert)
		f->manual_rule = true;
	if (r.protocol != ROUTE_PROTOCOL) {
		for (uint32_t bit = 1; bit; bit <<= 1)
			if (marks_overlap(&r, bit, bit))
				f->taken_bits |= bit;
		if (marks_overlap(&r, c->mark, c->mark_mask)) {
			f->foreign_rule = r;
			f->has_foreign_rule = true;
		} else if (r.table == c->route_table && r.action == FR_ACT_TO_TBL) {
			f->foreign_lookup = r;
			f->has_foreign_lookup = true;
		}
	} else if (r.mark == c->mark && r.mask == c->mark_mask && r.table == c->route_table &&
		   r.priority == c->rule_priority && r.action == FR_ACT_TO_TBL && !r.invert && !r.other_selectors &&
		   !f->right_rules) {
		f->right_rules = 1;
	} else if (f->stale_rule_count < ARRAY_SIZE(f->stale_rules)) {
		f->stale_rules[f->stale_rule_count++] = r;
	}
	return MNL_CB_OK;
}

static int found_route(const struct nlmsghdr *m, void *data)
{
	struct found *f = data;
	struct route r;
	bool right;

	if (m->nlmsg_type != RTM_NEWROUTE || !parse_route(m, &r))
		return MNL_CB_OK;
	right = r.table == f->c->route_table && r.type == RTN_LOCAL && r.dst_len == 0 && r.oif == LOOPBACK;
	if (right)
		f->manual_route = true;
	if (r.protocol == ROUTE_PROTOCOL) {
		if (right && !f->right_routes)
			f->right_routes = 1;
		else if (f->stale_route_count < ARRAY_SIZE(f->stale_routes))
			f->stale_routes[f->stale_route_count++] = r;
	} else if (r.table == f->c->route_table) {
		f->foreign_route = r;
		f->has_foreign_route = true;
	}
	return MNL_CB_OK;
}

/* table 0 = all of them: needed where leftovers of another configuration may be anywhere */
static int dump(struct found *f, uint32_t table)
{
	char buf[256];
	struct nlmsghdr *m = mnl_nlmsg_put_header(buf);
	struct fib_rule_hdr *rule;
	struct rtmsg *route;
	int r;

	m->nlmsg_type = RTM_GETRULE;
	m->nlmsg_flags = NLM_F_DUMP;
	rule = mnl_nlmsg_put_extra_header(m, sizeof(*rule));
	rule->family = (uint8_t)f->family;
	r = netlink_request(NETLINK_ROUTE, m, found_rule, f);
	if (r < 0)
		return r;

	m = mnl_nlmsg_put_header(buf);
	m->nlmsg_type = RTM_GETROUTE;
	m->nlmsg_flags = NLM_F_DUMP;
	route = mnl_nlmsg_put_extra_header(m, sizeof(*route));
	route->rtm_family = (uint8_t)f->family;
	if (table)
		mnl_attr_put_u32(m, RTA_TABLE, table);
	else
		route->rtm_protocol = ROUTE_PROTOCOL;
	r = netlink_request(NETLINK_ROUTE, m, found_route, f);
	return r == -ENOENT ? 0 : r;		/* no such table yet */
}

static int look(struct found *f, int family, const struct config *c, uint32_t table)
{
	int r = -EINTR;

	/* EINTR: it changed while it was dumped */
	for (int i = 0; i < RETRIES && r == -EINTR; i++) {
		*f = (struct found){ .family = family, .c = c };
		r = dump(f, table);
	}
	return r;
}

/* ---------------------------------------------------------------- whose it is */

static const char *rule_text(char buf[static 128], const struct rule *r)
{
	snprintf(buf, 128, "%u: %sfwmark 0x%x/0x%x lookup %u", r->priority, r->invert ? "not " : "", r->mark, r->mask,
		 r->table);
	return buf;
}

/* A bit of the mark that no rule uses, from where they are rarest. */
static uint32_t free_bit(const struct found *f)
{
	for (uint32_t bit = UINT32_C(1) << 30; bit; bit >>= 1)
		if (!(f->taken_bits & bit))
			return bit;
	return 0;
}

static int complain_foreign(const struct found *f, char **why)
{
	const struct config *c = f->c;
	const char *ip6 = family_option(f->family);
	char text[128];

	if (f->has_foreign_rule)
		return netlink_why(why, -EBUSY, "the packet mark 0x%x/0x%x is in use by another program: `ip%s rule` shows "
				   "\"%s\"; set `mark = 0x%x/0x%x` in [suntapd], or remove that rule", c->mark, c->mark_mask,
				   ip6, rule_text(text, &f->foreign_rule), free_bit(f), free_bit(f));
	if (f->has_foreign_lookup)
		return netlink_why(why, -EBUSY, "routing table %u is in use by another program: `ip%s rule` shows \"%s\"; set "
				   "`route_table =` in [suntapd] to a number nobody uses", c->route_table, ip6,
				   rule_text(text, &f->foreign_lookup));
	if (f->has_foreign_route)
		return netlink_why(why, -EBUSY, "routing table %u is in use by another program: `ip%s route show table %u` shows "
				   "a route that is not suntapd's (protocol %u); set `route_table =` in [suntapd] to a number "
				   "nobody uses, or empty it with `ip%s route flush table %u`", c->route_table, ip6,
				   c->route_table, f->foreign_route.protocol, ip6, c->route_table);
	return 0;
}

static enum route_state state_of(const struct found *f)
{
	size_t stale = f->stale_rule_count + f->stale_route_count;

	if (f->right_rules && f->right_routes && !stale)
		return ROUTE_OURS;
	return f->right_rules || f->right_routes || stale ? ROUTE_PARTLY : ROUTE_ABSENT;
}

static int cannot_look(int family, int r, char **why)
{
	return netlink_why(why, r, "the policy rules and routes (IPv%d) can not be read: %s", family == AF_INET6 ? 6 : 4,
			   strerror(-r));
}

int route_look(enum route_state *ret, int family, const struct config *c, char **why)
{
	struct found f;
	int r = look(&f, family, c, c->route_table);

	if (r < 0)
		return cannot_look(family, r, why);
	if (c->rules == RULES_MANUAL) {
		*ret = f.manual_rule && f.manual_route ? ROUTE_OURS :
		       f.manual_rule || f.manual_route ? ROUTE_PARTLY : ROUTE_ABSENT;
		return 0;
	}
	r = complain_foreign(&f, why);
	if (r == 0)
		*ret = state_of(&f);
	return r;
}

/* ---------------------------------------------------------------- changes */

static int change_rule(int family, uint16_t type, const struct rule *r)
{
	char buf[256];
	struct nlmsghdr *m = mnl_nlmsg_put_header(buf);
	struct fib_rule_hdr *h;

	m->nlmsg_type = type;
	if (type == RTM_NEWRULE)
		m->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	h = mnl_nlmsg_put_extra_header(m, sizeof(*h));
	h->family = (uint8_t)family;
	h->action = r->action;
	h->flags = r->invert ? FIB_RULE_INVERT : 0;
	mnl_attr_put_u32(m, FRA_TABLE, r->table);
	mnl_attr_put_u32(m, FRA_FWMARK, r->mark);
	mnl_attr_put_u32(m, FRA_FWMASK, r->mask);
	mnl_attr_put_u32(m, FRA_PRIORITY, r->priority);
	mnl_attr_put_u8(m, FRA_PROTOCOL, ROUTE_PROTOCOL);
	return netlink_request(NETLINK_ROUTE, m, NULL, NULL);
}

static int change_route(int family, uint16_t type, const struct route *r)
{
	char buf[256];
	struct nlmsghdr *m = mnl_nlmsg_put_header(buf);
	struct rtmsg *h;

	m->nlmsg_type = type;
	if (type == RTM_NEWROUTE)
		m->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	h = mnl_nlmsg_put_extra_header(m, sizeof(*h));
	h->rtm_family = (uint8_t)family;
	h->rtm_type = r->type;
	h->rtm_scope = r->scope;
	h->rtm_protocol = ROUTE_PROTOCOL;
	mnl_attr_put_u32(m, RTA_TABLE, r->table);
	if (r->oif)
		mnl_attr_put_u32(m, RTA_OIF, r->oif);
	return netlink_request(NETLINK_ROUTE, m, NULL, NULL);
}

static struct rule wanted_rule(const struct config *c)
{
	return (struct rule){ .mark = c->mark, .mask = c->mark_mask, .table = c->route_table,
			      .priority = c->rule_priority, .action = FR_ACT_TO_TBL };
}

static struct route wanted_route(int family, const struct config *c)
{
	return (struct route){ .table = c->route_table, .oif = LOOPBACK, .type = RTN_LOCAL,
			       .scope = family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_HOST };
}

static int cannot_add(int family, const char *what, int r, char **why)
{
	if (r == -EPERM)
		return netlink_why(why, r, "CAP_NET_ADMIN is missing for the policy %s: run suntapd as root, or with "
				   "AmbientCapabilities=CAP_NET_ADMIN in its unit", what);
	return netlink_why(why, r, "the policy %s (IPv%d) can not be added: %s%s", what, family == AF_INET6 ? 6 : 4,
			   strerror(-r), r == -EOPNOTSUPP || r == -EAFNOSUPPORT ?
			   "; the kernel needs CONFIG_IP_MULTIPLE_TABLES and CONFIG_IPV6_MULTIPLE_TABLES" : "");
}

int route_add(int family, const struct config *c, char **why)
{
	struct rule rule = wanted_rule(c);
	struct route route = wanted_route(family, c);
	struct found f;
	bool route_added = false;
	int r = look(&f, family, c, c->route_table);

	if (r < 0)
		return cannot_look(family, r, why);
	r = complain_foreign(&f, why);
	if (r < 0)
		return r;
	if (!f.right_routes) {
		r = change_route(family, RTM_NEWROUTE, &route);
		if (r < 0 && r != -EEXIST)
			return cannot_add(family, "route", r, why);
		route_added = true;
	}
	if (!f.right_rules) {
		r = change_rule(family, RTM_NEWRULE, &rule);
		if (r < 0 && r != -EEXIST) {
			if (route_added)
				change_route(family, RTM_DELROUTE, &route);
			return cannot_add(family, "rule", r, why);
		}
	}
	/*
	 * Now that the right ones are there: those of an earlier configuration of ours. Only now are all
	 * tables looked at; a stale rule tells that there is something to find.
	 */
	if (f.stale_rule_count || f.stale_route_count) {
		r = look(&f, family, c, 0);
		for (size_t i = 0; r == 0 && i < f.stale_rule_count; i++)
			change_rule(family, RTM_DELRULE, &f.stale_rules[i]);
		for (size_t i = 0; r == 0 && i < f.stale_route_count; i++)
			change_route(family, RTM_DELROUTE, &f.stale_routes[i]);
	}
	return 0;
}

int route_remove(int family)
{
	static const struct config nothing;	/* so that nothing of ours is as wanted */
	int r = 0;

	/* More rounds than one only where there were more leftovers than a struct found has room for. */
	for (int i = 0; i < RETRIES; i++) {
		struct found f;
		int looked = look(&f, family, &nothing, 0);

		if (looked == -EAFNOSUPPORT || looked == -EOPNOTSUPP)
			return 0;
		if (looked < 0)
			return looked;
		if (!f.stale_rule_count && !f.stale_route_count)
			return 0;
		r = 0;
		for (size_t j = 0; j < f.stale_rule_count && r == 0; j++)
			r = change_rule(family, RTM_DELRULE, &f.stale_rules[j]);
		for (size_t j = 0; j < f.stale_route_count && r == 0; j++)
			r = change_route(family, RTM_DELROUTE, &f.stale_routes[j]);
		if (r < 0 && r != -ENOENT && r != -ESRCH)
			return r;
	}
	return r;
}

/* ---------------------------------------------------------------- changes by others */

int route_monitor(void)
{
	static const int groups[] = { RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
				      RTNLGRP_LINK };

	return netlink_listen(NETLINK_ROUTE, groups, ARRAY_SIZE(groups));
}

/* A router may change its routes all day: only what could be ours is worth a look. */
static bool interesting(const struct nlmsghdr *m, const void *data)
{
	const struct config *c = data;
	const struct ifinfomsg *link;
	struct rule rule;
	struct route route;

	switch (m->nlmsg_type) {
	case RTM_DELRULE:
		return parse_rule(m, &rule) && rule.protocol == ROUTE_PROTOCOL;
	case RTM_NEWRULE:
		return parse_rule(m, &rule) && rule.protocol != ROUTE_PROTOCOL && marks_overlap(&rule, c->mark, c->mark_mask);
	case RTM_DELROUTE:
		return parse_route(m, &route) && route.table == c->route_table;
	case RTM_NEWLINK:
		/* `ip link set lo down` takes the IPv4 route away and does not say so. */
		link = mnl_nlmsg_get_payload(m);
		return mnl_nlmsg_get_payload_len(m) >= sizeof(*link) && link->ifi_index == LOOPBACK;
	default:
		return false;
	}
}

bool route_monitor_read(int fd, const struct config *c)
{
	return netlink_drain(fd, interesting, c);
}

/* ---------------------------------------------------------------- neighbours */

struct neighbour {
	int family;
	uint8_t address[16];
	size_t size;
	uint32_t interface;		/* 0 = any */
	bool found, fresh;
	uint8_t mac[6];
};

static int found_neighbour(const struct nlmsghdr *m, void *data)
{
	const uint16_t known = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT;
	const struct ndmsg *h = mnl_nlmsg_get_payload(m);
	const struct nlattr *at[NDA_MAX + 1], *address, *mac;
	struct neighbour *n = data;
	bool fresh;

	if (m->nlmsg_type != RTM_NEWNEIGH || mnl_nlmsg_get_payload_len(m) < sizeof(*h) || h->ndm_family != n->family ||
	    !(h->ndm_state & known) || (n->interface && (uint32_t)h->ndm_ifindex != n->interface))
		return MNL_CB_OK;
	netlink_attributes(m, sizeof(*h), at, NDA_MAX);
	address = at[NDA_DST];
	mac = at[NDA_LLADDR];
	if (!address || !mac || mnl_attr_get_payload_len(address) != n->size || mnl_attr_get_payload_len(mac) != 6 ||
	    memcmp(mnl_attr_get_payload(address), n->address, n->size) != 0)
		return MNL_CB_OK;
	/* The same address may be known on two links: the one that answered last is where it is. */
	fresh = h->ndm_state & (NUD_REACHABLE | NUD_PERMANENT | NUD_DELAY | NUD_PROBE);
	if (!n->found || (fresh && !n->fresh)) {
		memcpy(n->mac, mnl_attr_get_payload(mac), 6);
		n->found = true;
		n->fresh = fresh;
	}
	return MNL_CB_OK;
}

int neighbour_mac(const struct sockaddr *peer, uint8_t mac[6])
{
	struct neighbour n = { .family = peer->sa_family };
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	char buf[256];
	struct nlmsghdr *m = mnl_nlmsg_put_header(buf);
	struct ndmsg *h;
	int r = -EINTR;

	if (peer->sa_family == AF_INET) {
		memcpy(&in, peer, sizeof(in));
		memcpy(n.address, &in.sin_addr, n.size = 4);
	} else if (peer->sa_family == AF_INET6) {
		memcpy(&in6, peer, sizeof(in6));
		if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
			n.family = AF_INET;
			memcpy(n.address, in6.sin6_addr.s6_addr + 12, n.size = 4);
		} else {
			memcpy(n.address, &in6.sin6_addr, n.size = 16);
			n.interface = in6.sin6_scope_id;
		}
	} else {
		return -EAFNOSUPPORT;
	}
	m->nlmsg_type = RTM_GETNEIGH;
	m->nlmsg_flags = NLM_F_DUMP;
	h = mnl_nlmsg_put_extra_header(m, sizeof(*h));
	h->ndm_family = (uint8_t)n.family;
	for (int i = 0; i < RETRIES && r == -EINTR && !n.found; i++)
		r = netlink_request(NETLINK_ROUTE, m, found_neighbour, &n);
	if (n.found) {
		memcpy(mac, n.mac, 6);
		return 0;
	}
	return r < 0 ? r : -ENOENT;
}
