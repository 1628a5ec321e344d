/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rules.c - bring the rules of ruleset.c and the policy route into the kernel, keep them there, take them away
 *
 * Theory of operation
 *	All changes to a table go in one transaction each, over the socket that owns it: the kernel removes a table when that is
 *	closed. The one of `suntap` is open as long as we live; the one of `suntap_live` is in systemd's store, too, so that this
 *	table lives as long as the connections that need it. The kernel answers while the message is being sent: what has not come
 *	when sendmsg() returns will not come. A transaction without its end message is tried and dropped: so
 *	the probes find out which expression a kernel does not have.
 *
 *	The order is: look (capability, tables, mark, routing table), then the policy route, which does
 *	nothing while nobody sets the mark, then both tables at once. Looking changes nothing; what comes after
 *	is taken back where a later step fails, but for leftovers of a crash that were there before: flows of
 *	the file descriptor store live by them.
 *
 *	Others can not touch a table with an owner, but the rule and the route, which a crash of ours has to survive, they can. Two
 *	sockets hear of changes; rules_repair() compares and puts back.
 *
 * Invariants (held by test_rules.py)
 *	- Existing flows are marked at any moment of an install over leftovers, an update, a repair.
 *	- After rules_remove() nothing carries our names or our protocol number.
 */
#include "suntapd/rules.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <libnftnl/batch.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/util.h"
#include "suntapd/netlink.h"
#include "suntapd/route.h"
#include "suntapd/ruleset.h"
#include "suntapd/store.h"

enum {
	MESSAGE_ROOM = 16384,		/* more than our largest message takes */
	SEND_BUFFER = 8 << 20,		/* 256 devices with all they can have are 2 MB */
};

#define LIVE_OWNER_NAME "rules-live"	/* in the store */

static const int families[] = { AF_INET, AF_INET6 };

struct rules {
	struct config config;		/* a copy without the devices */
	bool manual, active;		/* active: all of it is in the kernel */
	bool ip6;
	struct mnl_socket *owner, *live_owner;	/* of suntap and suntap_live */
	bool live_owner_kept;		/* by the store, before we came */
	int nft_monitor, route_monitor, monitor;	/* monitor: an epoll of the two */
	bool others_changed;		/* see rules_others_changed() */
	char *remark;
};

/* ---------------------------------------------------------------- transactions */

struct batch {
	char *buf;
	size_t length, room;
	uint32_t first, next;		/* sequence numbers */
	bool failed;			/* no memory */
};

/* What is wrong with a transaction: the first message that the kernel refused. */
struct refusal {
	int error;			/* -errno */
	uint32_t index;			/* of the message, 0 = the transaction itself */
};

static void batch_begin(struct batch *b)
{
	static uint32_t sequence = 1;

	*b = (struct batch){ .first = sequence, .next = sequence };
	sequence += 1 << 16;
	b->room = 4 * MESSAGE_ROOM;
	b->buf = malloc(b->room);
	if (!b->buf) {
		b->failed = true;
		return;
	}
	b->length = nftnl_batch_begin(b->buf, b->next++)->nlmsg_len;
}

static struct nlmsghdr *batch_message(struct batch *b, uint16_t type, uint16_t flags)
{
	if (b->failed)
		return NULL;
	if (b->room - b->length < 2 * MESSAGE_ROOM) {
		char *grown = realloc(b->buf, 2 * b->room);

		if (!grown) {
			b->failed = true;
			return NULL;
		}
		b->buf = grown;
		b->room *= 2;
	}
	return nftnl_nlmsg_build_hdr(b->buf + b->length, type, NFPROTO_INET, flags, b->next++);
}

/* MNL_ALIGN() without its changes of sign */
static size_t aligned(const struct nlmsghdr *m)
{
	return (m->nlmsg_len + 3u) & ~(size_t)3;
}

static void batch_put(struct batch *b, const struct nlmsghdr *m)
{
	b->length += aligned(m);
}

/* The answers that are there, in order. */
static struct refusal read_answers(struct mnl_socket *nl, const struct batch *b, uint32_t last)
{
	struct refusal refusal = { 0 };
	bool acknowledged = false;
	char buf[NETLINK_BUFFER] __attribute__((aligned(8)));

	for (;;) {
		ssize_t n = recv(mnl_socket_get_fd(nl), buf, sizeof(buf), MSG_DONTWAIT);
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS && !refusal.error) {
			refusal.error = -ENOBUFS;	/* only refusals can be so many */
			continue;
		}
		if (n <= 0)
			break;
		for (const struct nlmsghdr *m = (const struct nlmsghdr *)buf; mnl_nlmsg_ok(m, left);
		     m = mnl_nlmsg_next(m, &left)) {
			const struct nlmsgerr *e = mnl_nlmsg_get_payload(m);

			if (m->nlmsg_type != NLMSG_ERROR || mnl_nlmsg_get_payload_len(m) < sizeof(*e))
				continue;
			if (e->error && !refusal.error)
				refusal = (struct refusal){ e->error, m->nlmsg_seq - b->first };
			else if (m->nlmsg_seq == last && !e->error)
				acknowledged = true;
		}
	}
	if (!acknowledged && !refusal.error)
		refusal.error = -EIO;
	return refusal;
}

/* Sends what was put; with commit false it is only tried. Frees the buffer. */
static struct refusal batch_send(struct batch *b, struct mnl_socket *nl, bool commit)
{
	struct refusal refusal = { b->failed ? -ENOMEM : 0, 0 };
	uint32_t last = b->next - 1;
	struct nlmsghdr *m = NULL;

	if (!refusal.error && last > b->first) {
		/* Success is told of the last message alone: an acknowledgement of each would not fit in the socket. */
		size_t at = 0;

		while (at < b->length) {
			m = (struct nlmsghdr *)(void *)(b->buf + at);
			at += aligned(m);
		}
		m->nlmsg_flags |= NLM_F_ACK;
		if (commit)
			b->length += nftnl_batch_end(b->buf + b->length, b->next++)->nlmsg_len;
		if (mnl_socket_sendto(nl, b->buf, b->length) < 0)
			refusal.error = -errno;
		else
			refusal = read_answers(nl, b, last);
	}
	free(b->buf);
	*b = (struct batch){ 0 };
	return refusal;
}

/* ---------------------------------------------------------------- a table as messages */

static void put_table(struct batch *b, uint16_t type, const char *name, uint32_t flags)
{
	struct nlmsghdr *m = batch_message(b, type, type == NFT_MSG_NEWTABLE ? NLM_F_CREATE | NLM_F_EXCL : 0);
	struct nftnl_table *t = nftnl_table_alloc();

	if (m && t) {
		nftnl_table_set_u32(t, NFTNL_TABLE_FAMILY, NFPROTO_INET);
		nftnl_table_set_str(t, NFTNL_TABLE_NAME, name);
		if (flags)
			nftnl_table_set_u32(t, NFTNL_TABLE_FLAGS, flags);
		nftnl_table_nlmsg_build_payload(m, t);
		batch_put(b, m);
	}
	b->failed |= !t;
	if (t)
		nftnl_table_free(t);
}

static void put_chain(struct batch *b, const struct ruleset_table *table, const struct ruleset_chain *chain)
{
	struct nlmsghdr *m = batch_message(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL);
	struct nftnl_chain *c = nftnl_chain_alloc();

	if (m && c) {
		nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, table->name);
		nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, chain->name);
		nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, "filter");
		nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, chain->input ? NF_INET_LOCAL_IN : NF_INET_PRE_ROUTING);
		nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, chain->priority);
		nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, NF_ACCEPT);
		nftnl_chain_nlmsg_build_payload(m, c);
		batch_put(b, m);
	}
	b->failed |= !c;
	if (c)
		nftnl_chain_free(c);
}

static int add_element(struct nftnl_set *s, const void *key, uint32_t size, bool end)
{
	struct nftnl_set_elem *e = nftnl_set_elem_alloc();

	if (!e)
		return -ENOMEM;
	nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, key, size);
	if (end)
		nftnl_set_elem_set_u32(e, NFTNL_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
	nftnl_set_elem_add(s, e);
	return 0;
}

static int add_elements(struct nftnl_set *s, const struct ruleset_set *set)
{
	const struct ruleset_type *type = &ruleset_types[set->type];
	int r = 0;

	for (size_t i = 0; i < set->count && r == 0; i++) {
		const struct ruleset_element *e = &set->elements[i];

		r = add_element(s, e->first, type->size, false);
		if (r == 0 && type->interval && !e->open_end)
			r = add_element(s, e->after, type->size, true);
	}
	return r;
}

/* What nft wants to know of a set when it lists it: that its keys are big-endian. */
static void set_byte_order(struct nftnl_set *s)
{
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(64);

	if (!u)
		return;		/* a matter of looks */
	nftnl_udata_put_u32(u, NFTNL_UDATA_SET_KEYBYTEORDER, 2);
	nftnl_set_set_data(s, NFTNL_SET_USERDATA, nftnl_udata_buf_data(u), nftnl_udata_buf_len(u));
	nftnl_udata_buf_free(u);
}

static void put_set(struct batch *b, const struct ruleset_table *table, const struct ruleset_set *set, uint32_t id)
{
	const struct ruleset_type *type = &ruleset_types[set->type];
	struct nftnl_set *s = nftnl_set_alloc();
	struct nlmsghdr *m;

	if (!s) {
		b->failed = true;
		return;
	}
	nftnl_set_set_str(s, NFTNL_SET_TABLE, table->name);
	nftnl_set_set_str(s, NFTNL_SET_NAME, set->name);
	nftnl_set_set_u32(s, NFTNL_SET_FAMILY, NFPROTO_INET);
	nftnl_set_set_u32(s, NFTNL_SET_ID, id);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, type->number);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, type->size);
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, type->interval ? NFT_SET_INTERVAL : 0);
	set_byte_order(s);
	m = batch_message(b, NFT_MSG_NEWSET, NLM_F_CREATE | NLM_F_EXCL);
	if (m) {
		nftnl_set_nlmsg_build_payload(m, s);
		batch_put(b, m);
	}
	if (add_elements(s, set) < 0)
		b->failed = true;
	m = batch_message(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE | NLM_F_EXCL);
	if (m) {
		nftnl_set_elems_nlmsg_build_payload(m, s);
		batch_put(b, m);
	}
	nftnl_set_free(s);
}

static uint32_t set_id(const struct ruleset_table *table, const char *name)
{
	for (size_t i = 0; name && i < table->set_count; i++)
		if (table->sets[i].name == name)
			return (uint32_t)i + 1;
	return 0;
}

static void put_comment(struct nftnl_rule *r, const char *comment)
{
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);

	if (!u)
		return;		/* a matter of looks */
	nftnl_udata_put_strz(u, NFTNL_UDATA_RULE_COMMENT, comment);
	nftnl_rule_set_data(r, NFTNL_RULE_USERDATA, nftnl_udata_buf_data(u), nftnl_udata_buf_len(u));
	nftnl_udata_buf_free(u);
}

static void put_rule(struct batch *b, const struct ruleset_table *table, const struct ruleset_rule *rule)
{
	struct nftnl_rule *r = nftnl_rule_alloc();
	struct nlmsghdr *m;

	if (!r) {
		b->failed = true;
		return;
	}
	nftnl_rule_set_u32(r, NFTNL_RULE_FAMILY, NFPROTO_INET);
	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, table->name);
	nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, table->chains[rule->chain].name);
	if (*rule->comment)
		put_comment(r, rule->comment);
	for (size_t i = 0; i < rule->count; i++) {
		const struct ruleset_statement *s = &rule->statements[i];

		if (ruleset_add_expressions(r, s, set_id(table, ruleset_statement_set(s))) < 0)
			b->failed = true;
	}
	m = batch_message(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	if (m) {
		nftnl_rule_nlmsg_build_payload(m, r);
		batch_put(b, m);
	}
	nftnl_rule_free(r);
}

static void put_whole_table(struct batch *b, const struct ruleset_table *table, bool replace)
{
	if (replace)
		put_table(b, NFT_MSG_DELTABLE, table->name, 0);
	put_table(b, NFT_MSG_NEWTABLE, table->name, table->owner ? NFT_TABLE_F_OWNER : 0);
	for (size_t i = 0; i < table->set_count; i++)
		put_set(b, table, &table->sets[i], (uint32_t)i + 1);
	for (size_t i = 0; i < table->chain_count; i++)
		put_chain(b, table, &table->chains[i]);
	for (size_t i = 0; i < table->rule_count; i++)
		put_rule(b, table, &table->rules[i]);
}

/* ---------------------------------------------------------------- what is there */

struct table_state {
	bool there, owned;
	uint32_t owner;			/* the port of the netlink socket that owns it: mostly a process id */
};

static int found_table(const struct nlmsghdr *m, void *data)
{
	struct table_state *state = data;
	const struct nlattr *at[NFTA_TABLE_MAX + 1];
	uint32_t flags;

	if (mnl_nlmsg_get_payload_len(m) < sizeof(struct nfgenmsg))
		return MNL_CB_STOP;
	netlink_attributes(m, sizeof(struct nfgenmsg), at, NFTA_TABLE_MAX);
	flags = ntohl(netlink_u32(at[NFTA_TABLE_FLAGS]));
	*state = (struct table_state){
		.there = true,
		.owned = flags & NFT_TABLE_F_OWNER,
		.owner = ntohl(netlink_u32(at[NFTA_TABLE_OWNER])),
	};
	return MNL_CB_STOP;
}

static int look_at_table(struct mnl_socket *nl, const char *name, struct table_state *ret)
{
	char buf[256];
	struct nlmsghdr *m = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETTABLE, NFPROTO_INET, 0, 0);
	int r;

	*ret = (struct table_state){ 0 };
	mnl_attr_put_strz(m, NFTA_TABLE_NAME, name);
	r = netlink_talk(nl, m, found_table, ret);
	return r == -ENOENT ? 0 : r;
}

/* ---------------------------------------------------------------- what is wrong, in words */

/* Tries a rule of this one statement; whether the kernel refuses it as unknown. */
static bool kernel_lacks(struct mnl_socket *nl, enum ruleset_statement_kind kind)
{
	struct ruleset_rule rule = { .statements = { { .kind = kind, .value = 1 } }, .count = 1 };
	const struct ruleset_table table = {
		.name = "suntap_probe", .rules = &rule, .rule_count = 1,
		.chains = { { .name = RULESET_CHAIN, .priority = RULESET_PRIORITY } }, .chain_count = 1,
	};
	struct refusal refusal;
	struct batch b;

	batch_begin(&b);
	put_whole_table(&b, &table, false);
	refusal = batch_send(&b, nl, false);
	return refusal.error == -ENOENT || refusal.error == -EOPNOTSUPP || refusal.error == -EAFNOSUPPORT ||
	       refusal.error == -EPROTONOSUPPORT;
}

static const struct {
	enum ruleset_statement_kind kind;
	bool ip6;
	const char *what, *remedy;
} requirements[] = {
	{ RS_COUNTER, false, "nf_tables for inet tables",
	  "enable CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET (modprobe nf_tables)" },
	{ RS_TPROXY4, false, "TPROXY", "enable CONFIG_NFT_TPROXY (modprobe nft_tproxy)" },
	{ RS_SOCKET_TRANSPARENT, false, "socket matching", "enable CONFIG_NFT_SOCKET (modprobe nft_socket)" },
	{ RS_NOT_TO_US, false, "route lookups in nf_tables",
	  "enable CONFIG_NFT_FIB_INET, CONFIG_NFT_FIB_IPV4 and CONFIG_NFT_FIB_IPV6 (modprobe nft_fib_inet)" },
	{ RS_TPROXY6, true, "TPROXY for IPv6", "enable CONFIG_NF_TPROXY_IPV6 (modprobe nf_tproxy_ipv6)" },
};

static const char no_capability[] = "CAP_NET_ADMIN is missing for nftables: run suntapd as root, or with "
				    "AmbientCapabilities=CAP_NET_ADMIN in its unit";

static int explain(struct rules *r, const struct refusal *refusal, char **why)
{
	struct table_state table;

	for (size_t i = 0; i < ARRAY_SIZE(requirements); i++) {
		if (requirements[i].ip6 && !r->ip6)
			continue;
		if (kernel_lacks(r->owner, requirements[i].kind))
			return netlink_why(why, refusal->error, "this kernel has no %s: %s, or bring the connections with a "
					   "REDIRECT rule of your own and `way = redirect`", requirements[i].what,
					   requirements[i].remedy);
	}
	if (r->live_owner && look_at_table(r->owner, RULESET_LIVE_TABLE, &table) == 0 && table.there && table.owned &&
	    table.owner != mnl_socket_get_portid(r->live_owner))
		return netlink_why(why, -EBUSY, "systemd keeps the connections of another suntapd (the nftables table inet "
				   RULESET_LIVE_TABLE " has an owner): systemctl stop suntapd first");
	if (look_at_table(r->owner, RULESET_TABLE, &table) == 0 && table.there && table.owned &&
	    table.owner != mnl_socket_get_portid(r->owner))
		return netlink_why(why, -EBUSY, "another suntapd is running (process %" PRIu32 " owns the nftables table inet "
				   RULESET_TABLE "): stop it first", table.owner);
	switch (-refusal->error) {
	case EPERM:
		return netlink_why(why, refusal->error, "%s", no_capability);
	case EMSGSIZE:
		return netlink_why(why, refusal->error, "the rules are too large for one netlink message: use fewer devices, with "
				   "prefixes as source, or raise net.core.wmem_max");
	case EOPNOTSUPP:
		return netlink_why(why, refusal->error, "nftables refuses the rules: %s; suntapd needs Linux 5.12 or later "
				   "(tables with an owner)", strerror(-refusal->error));
	default:
		return netlink_why(why, refusal->error, "nftables refuses the rules (message %" PRIu32 "): %s", refusal->index,
				   strerror(-refusal->error));
	}
}

/* ---------------------------------------------------------------- installing */

static int open_owner(struct rules *r, char **why)
{
	int size = SEND_BUFFER, fd;
	struct table_state state;
	int e;

	r->owner = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!r->owner || mnl_socket_bind(r->owner, 0, MNL_SOCKET_AUTOPID) < 0)
		return netlink_why(why, -errno, "no netlink socket for nftables: %s; %s", strerror(errno),
				   errno == EPROTONOSUPPORT ? requirements[0].remedy :
				   "a sandbox has to allow AF_NETLINK (RestrictAddressFamilies=)");
	fd = mnl_socket_get_fd(r->owner);
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));

	/* The first question tells what we may at all: later an EPERM means a table with another owner. */
	e = look_at_table(r->owner, RULESET_TABLE, &state);
	if (e == -EPERM)
		return netlink_why(why, e, "%s", no_capability);
	if (e < 0)
		return netlink_why(why, e, "this kernel has no nf_tables (%s): %s, or bring the connections with a REDIRECT rule "
				   "of your own and `way = redirect`", strerror(-e), requirements[0].remedy);
	if (state.there && state.owned)
		return netlink_why(why, -EBUSY, "another suntapd is running (process %" PRIu32 " owns the nftables table inet "
				   RULESET_TABLE "): stop it first", state.owner);
	if (state.there)
		return netlink_why(why, -EEXIST, "the nftables table inet " RULESET_TABLE " was loaded by hand (nft/suntap.nft?): set "
				   "`rules = manual` in [suntapd], or remove it with `nft delete table inet " RULESET_TABLE "`");
	return 0;
}

/* The one that the suntapd before had, or a new one. */
static int open_live_owner(struct rules *r, char **why)
{
	int fd = store_take(LIVE_OWNER_NAME);
	char buf[NETLINK_BUFFER];

	r->live_owner_kept = fd >= 0;
	r->live_owner = fd >= 0 ? mnl_socket_fdopen(fd) : mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!r->live_owner || (fd < 0 && mnl_socket_bind(r->live_owner, 0, MNL_SOCKET_AUTOPID) < 0))
		return netlink_why(why, -errno, "no netlink socket for nftables: %s", strerror(errno));
	/* what the kernel answered to the one before, who did not live to read it */
	while (recv(mnl_socket_get_fd(r->live_owner), buf, sizeof(buf), MSG_DONTWAIT) >= 0 || errno == EINTR || errno == ENOBUFS)
		;
	return 0;
}

static void remove_table(struct mnl_socket *owner, const char *name)
{
	struct table_state state;
	struct batch b;

	if (look_at_table(owner, name, &state) < 0 || !state.there)
		return;
	batch_begin(&b);
	put_table(&b, NFT_MSG_DELTABLE, name, 0);
	batch_send(&b, owner, true);
}

static int open_monitors(struct rules *r)
{
	static const int groups[] = { NFNLGRP_NFTABLES };
	struct epoll_event event = { .events = EPOLLIN };

	r->nft_monitor = netlink_listen(NETLINK_NETFILTER, groups, ARRAY_SIZE(groups));
	r->route_monitor = route_monitor();
	if (r->nft_monitor < 0 || r->route_monitor < 0)
		return r->nft_monitor < 0 ? r->nft_monitor : r->route_monitor;
	if (epoll_ctl(r->monitor, EPOLL_CTL_ADD, r->nft_monitor, &event) < 0 ||
	    epoll_ctl(r->monitor, EPOLL_CTL_ADD, r->route_monitor, &event) < 0)
		return -errno;
	return 0;
}

/* Both tables as c wants them, or the interception alone. */
static int install_tables(struct rules *r, const struct config *c, bool live, char **why)
{
	struct table_state old_live = { 0 }, old = { 0 };
	struct ruleset *set = ruleset_new(c, r->ip6);
	struct refusal refusal = { 0 };
	struct batch b;
	int e;

	if (!set)
		return -ENOMEM;
	e = look_at_table(r->owner, RULESET_TABLE, &old);
	if (e == 0)
		e = look_at_table(r->owner, RULESET_LIVE_TABLE, &old_live);
	if (e < 0) {
		ruleset_free(set);
		return netlink_why(why, e, "nftables can not be read: %s", strerror(-e));
	}
	if (live) {
		batch_begin(&b);
		put_whole_table(&b, &set->live, old_live.there);
		refusal = batch_send(&b, r->live_owner, true);
	}
	if (!refusal.error) {
		batch_begin(&b);
		put_whole_table(&b, &set->intercept, old.there);
		refusal = batch_send(&b, r->owner, true);
	}
	ruleset_free(set);
	if (refusal.error)
		return explain(r, &refusal, why);
	return 0;
}

static int install_routes(struct rules *r, const struct config *c, char **why)
{
	enum route_state before[ARRAY_SIZE(families)];
	int e;

	/* Look at all before changing any. */
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		if (families[i] == AF_INET6 && !r->ip6)
			continue;
		e = route_look(&before[i], families[i], c, why);
		if (e < 0)
			return e;
	}
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		if (families[i] == AF_INET6 && !r->ip6)
			continue;
		e = route_add(families[i], c, why);
		if (e < 0) {
			while (i-- > 0)
				if (before[i] == ROUTE_ABSENT)
					route_remove(families[i]);
			return e;
		}
	}
	return 0;
}

static void remove_routes(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		route_remove(families[i]);
}

/* Whether there are leftovers, which a failing start leaves as they are. */
static bool leftovers(struct rules *r, const struct config *c)
{
	struct table_state live;
	enum route_state route;

	if (look_at_table(r->owner, RULESET_LIVE_TABLE, &live) == 0 && live.there)
		return true;
	return route_look(&route, AF_INET, c, NULL) == 0 && route != ROUTE_ABSENT;
}

static int activate(struct rules *r, const struct config *c, char **why)
{
	bool had_leftovers;
	int e;

	r->ip6 = route_family_usable(AF_INET6);
	e = open_owner(r, why);
	if (e == 0)
		e = open_live_owner(r, why);
	if (e < 0)
		return e;
	e = open_monitors(r);
	if (e < 0)
		return netlink_why(why, e, "changes of rules and routes can not be watched: %s", strerror(-e));
	had_leftovers = leftovers(r, c);
	e = install_routes(r, c, why);
	if (e < 0)
		return e;
	e = install_tables(r, c, true, why);
	if (e < 0) {
		if (!had_leftovers) {
			remove_table(r->live_owner, RULESET_LIVE_TABLE);
			remove_routes();
		}
		return e;
	}
	if (!r->live_owner_kept)
		store_put(mnl_socket_get_fd(r->live_owner), LIVE_OWNER_NAME);
	r->active = true;
	if (!r->ip6) {
		free(r->remark);
		r->remark = strdup("this machine has no IPv6 on lo: connections over IPv6 are not intercepted");
	}
	return 0;
}

static void deactivate(struct rules *r)
{
	if (r->owner)
		mnl_socket_close(r->owner);
	if (r->live_owner)
		mnl_socket_close(r->live_owner);
	r->owner = r->live_owner = NULL;
	r->nft_monitor = close_fd(r->nft_monitor);
	r->route_monitor = close_fd(r->route_monitor);
	r->active = false;
}

/* What the owner of the rules should have set up; a remark and no error, for there are other ways to do it. */
static void check_manual(struct rules *r, const struct config *c)
{
	char *remark = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(families) && !remark; i++) {
		const char *ip6 = families[i] == AF_INET6 ? " -6" : "";
		enum route_state state;

		if (!route_family_usable(families[i]) || route_look(&state, families[i], c, NULL) < 0 || state == ROUTE_OURS)
			continue;
		netlink_why(&remark, 0, "rules = manual, but there is no policy route for the mark: "
			    "ip%s rule add fwmark 0x%" PRIx32 "/0x%" PRIx32 " lookup %" PRIu32 " priority %" PRIu32
			    "; ip%s route add local default dev lo table %" PRIu32, ip6, c->mark, c->mark_mask, c->route_table,
			    c->rule_priority, ip6, c->route_table);
	}
	free(r->remark);
	r->remark = remark;
}

void rules_remove_leftovers(void)
{
	struct rules r = { .nft_monitor = -1, .route_monitor = -1, .monitor = -1 };

	if (open_owner(&r, NULL) == 0 && open_live_owner(&r, NULL) == 0) {
		remove_table(r.live_owner, RULESET_LIVE_TABLE);
		store_remove(LIVE_OWNER_NAME);
		remove_routes();
	}
	deactivate(&r);
}

int rules_install(struct rules **ret, const struct config *c, char **why)
{
	struct rules *r = calloc(1, sizeof(*r));
	int e = 0;

	*why = NULL;
	if (!r)
		return -ENOMEM;
	r->nft_monitor = r->route_monitor = r->monitor = -1;
	r->config = *c;
	r->config.devices = NULL;
	r->config.device_count = 0;
	r->manual = c->rules == RULES_MANUAL;
	/* One for our life: the sockets join it when there is something to watch, which a reload may bring. */
	if (!r->manual) {
		r->monitor = epoll_create1(EPOLL_CLOEXEC);
		e = r->monitor < 0 ? -errno : 0;
	}
	if (e < 0) {
		free(r);
		return netlink_why(why, e, "no epoll: %s", strerror(-e));
	}
	if (!r->manual && ruleset_needed(c))
		e = activate(r, c, why);
	else if (!r->manual)
		rules_remove_leftovers();
	else if (ruleset_needed(c))
		check_manual(r, c);
	if (e < 0) {
		deactivate(r);
		close_fd(r->monitor);
		free(r->remark);
		free(r);
		if (!*why)
			netlink_why(why, e, "the rules can not be installed: %s", strerror(-e));
		return e;
	}
	*ret = r;
	return 0;
}

const char *rules_remark(const struct rules *r)
{
	return r->remark;
}

int rules_update(struct rules *r, const struct config *c, char **why)
{
	const struct config *old = &r->config;
	const char *changed = c->rules != old->rules ? "rules" :
			      c->mark != old->mark || c->mark_mask != old->mark_mask ? "mark" :
			      c->route_table != old->route_table ? "route_table" :
			      c->rule_priority != old->rule_priority ? "rule_priority" :
			      c->tproxy_port != old->tproxy_port ? "tproxy_port" : NULL;
	int e;

	*why = NULL;
	if (changed)
		return netlink_why(why, -EINVAL, "%s is another one now: that takes a restart", changed);
	if (r->manual) {
		if (ruleset_needed(c))
			check_manual(r, c);
		return 0;
	}
	if (r->active) {
		/* The live table stays, also where nothing needs it any more: flows may. */
		e = install_tables(r, c, false, why);
	} else if (ruleset_needed(c)) {
		e = activate(r, c, why);
		if (e < 0)
			deactivate(r);
	} else {
		e = 0;
	}
	if (e < 0 && !*why)
		netlink_why(why, e, "the rules can not be changed: %s", strerror(-e));
	return e;
}

/* ---------------------------------------------------------------- keeping */

int rules_monitor_fd(const struct rules *r)
{
	return r->monitor;
}

/* Ours are protected: only what others do in theirs is news. The table's name is attribute 1 in all messages. data: &rules */
static bool interesting(const struct nlmsghdr *m, const void *data)
{
	struct rules *const *r = data;
	const struct nlattr *at[2];
	const char *name;

	if (m->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES || (m->nlmsg_type & 0xff) == NFT_MSG_NEWGEN ||
	    mnl_nlmsg_get_payload_len(m) < sizeof(struct nfgenmsg))
		return false;
	netlink_attributes(m, sizeof(struct nfgenmsg), at, 1);
	static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1, "attribute 1 is the table");
	if (!at[1] || mnl_attr_validate(at[1], MNL_TYPE_NUL_STRING) < 0)
		return false;
	name = mnl_attr_get_str(at[1]);
	if (strcmp(name, RULESET_TABLE) != 0 && strcmp(name, RULESET_LIVE_TABLE) != 0)
		(*r)->others_changed |= (m->nlmsg_type & 0xff) == NFT_MSG_NEWRULE;
	return false;
}

static bool drain(struct rules *r)
{
	bool nft = netlink_drain(r->nft_monitor, interesting, &r);

	/* that messages were lost looks the same as one about us */
	r->others_changed |= nft;
	return route_monitor_read(r->route_monitor, &r->config) || nft;
}

bool rules_others_changed(struct rules *r)
{
	bool changed = r->others_changed;

	r->others_changed = false;
	return changed;
}

/* One round: puts back what is missing, names it in *what; the number of things, or -errno. */
static int repair_once(struct rules *r, char **what)
{
	char *routes[ARRAY_SIZE(families)] = { NULL };
	int repaired = 0, e = 0;

	for (size_t i = 0; e == 0 && i < ARRAY_SIZE(families); i++) {
		enum route_state state = ROUTE_ABSENT;

		if (families[i] == AF_INET6 && !r->ip6)
			continue;
		e = route_look(&state, families[i], &r->config, what);
		if (e == 0 && state != ROUTE_OURS) {
			e = route_add(families[i], &r->config, what);
			if (e == 0 && asprintf(&routes[i], "the policy route (IPv%d)", families[i] == AF_INET6 ? 6 : 4) < 0)
				routes[i] = NULL;
			repaired += e == 0;
		}
	}
	if (e == 0 && repaired)
		netlink_why(what, 0, "%s%s%s", routes[0] ? routes[0] : "", routes[0] && routes[1] ? ", " : "",
			    routes[1] ? routes[1] : "");
	free(routes[0]);
	free(routes[1]);
	return e < 0 ? e : repaired;
}

int rules_repair(struct rules *r, char **what)
{
	char *again = NULL;
	int e;

	*what = NULL;
	if (!r->active || !drain(r))
		return 0;
	e = repair_once(r, what);
	/*
	 * What we have done is not news. Somebody else's change in between would be read away with it, so look once
	 * more; and where that finds something, leave it at that until there are news.
	 */
	drain(r);
	if (e > 0 && repair_once(r, &again) != 0) {
		e = -EAGAIN;
		netlink_why(what, e, "what was put back is gone again at once: does another program remove foreign rules?");
		drain(r);
	}
	free(again);
	if (e < 0 && !*what)
		netlink_why(what, e, "rules or routes of ours are gone and can not be put back: %s", strerror(-e));
	return e > 0 ? 1 : e;
}

/* ---------------------------------------------------------------- removing */

struct rules *rules_remove(struct rules *r, bool keep_live)
{
	if (!r)
		return NULL;
	if (r->active) {
		/* Not left to the close of the sockets: a child that was forked may hold them. */
		remove_table(r->owner, RULESET_TABLE);
		if (!keep_live) {
			remove_table(r->live_owner, RULESET_LIVE_TABLE);
			store_remove(LIVE_OWNER_NAME);
			remove_routes();
		}
	}
	deactivate(r);
	close_fd(r->monitor);
	free(r->remark);
	free(r);
	return NULL;
}

/* ---------------------------------------------------------------- printing */

void rules_print(const struct config *c, FILE *out)
{
	struct ruleset *r = ruleset_new(c, true);

	if (!r)
		return;
	fprintf(out, "#!/usr/sbin/nft -f\n"
		"# The rules of suntapd. It installs them itself; with `rules = manual` in suntap.ini you do, at each boot:\n"
		"# load this with `nft -f`, and beside it make the policy route:\n"
		"#\n");
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		const char *ip6 = families[i] == AF_INET6 ? " -6" : "";

		fprintf(out, "#\tip%s rule add fwmark 0x%" PRIx32 "/0x%" PRIx32 " lookup %" PRIu32 " priority %" PRIu32 "\n"
			"#\tip%s route add local default dev lo table %" PRIu32 "\n", ip6, c->mark, c->mark_mask,
			c->route_table, c->rule_priority, ip6, c->route_table);
	}
	fputs("#\n"
	      "# By hand they stay when suntapd is gone, which does no harm: where nobody listens, tproxy does not match,\n"
	      "# and new connections go straight to the cloud. suntapd's own table inet suntap goes with it.\n"
	      "\n", out);
	ruleset_print(r, out);
	ruleset_free(r);
}
