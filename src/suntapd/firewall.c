/* SPDX-License-Identifier: GPL-2.0-or-later */
/* firewall.c - what other programs' rules do to the devices' connections; see firewall.h */
#include "suntapd/firewall.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/xt_mark.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "shared/util.h"
#include "suntapd/netlink.h"
#include "suntapd/ruleset.h"

enum { RETRIES = 5 };

/* What a register holds, of a packet whose mark is m: (m & mask) ^ bits, if it is known. */
struct value {
	bool known;
	uint32_t mask, bits;
};

struct firewall {
	sd_event *event;
	void (*foreign_mark)(const char *text);
	uint64_t arrived, lost;		/* when it was looked last */
	/* while rules are read */
	struct mnl_socket *nl;
	sd_event_source *source;
	uint32_t mark, mark_mask;	/* ours */
	unsigned retries;
	struct value registers[NFT_REG32_15 + 1];
	bool found;			/* in this rule */
	uint32_t taken;			/* bits of all marks that are set anywhere */
	char *where;
};

static const char *family_name(uint32_t family)
{
	switch (family) {
	case NFPROTO_INET: return "inet";
	case NFPROTO_IPV4: return "ip";
	case NFPROTO_IPV6: return "ip6";
	case NFPROTO_ARP: return "arp";
	case NFPROTO_BRIDGE: return "bridge";
	default: return "netdev";
	}
}

static bool is_ours(const char *table)
{
	return strcmp(table, RULESET_TABLE) == 0 || strcmp(table, RULESET_LIVE_TABLE) == 0;
}

/* ---------------------------------------------------------------- packets that are lost */
static int add_packets(struct nftnl_expr *e, void *data)
{
	if (strcmp(nftnl_expr_get_str(e, NFTNL_EXPR_NAME), "counter") == 0)
		*(uint64_t *)data += nftnl_expr_get_u64(e, NFTNL_EXPR_CTR_PACKETS);
	return 0;
}

static int on_counting_rule(const struct nlmsghdr *m, void *data)
{
	struct nftnl_rule *r = nftnl_rule_alloc();

	if (r && nftnl_rule_nlmsg_parse(m, r) >= 0)
		nftnl_expr_foreach(r, add_packets, data);
	if (r)
		nftnl_rule_free(r);
	return MNL_CB_OK;
}

/* What the one rule of a chain of ours has counted: 0 or -errno. */
static int counted(const char *chain, uint64_t *ret)
{
	char buf[256];
	struct nlmsghdr *m = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETRULE, NFPROTO_INET, NLM_F_DUMP, 0);

	*ret = 0;
	mnl_attr_put_strz(m, NFTA_RULE_TABLE, RULESET_TABLE);
	mnl_attr_put_strz(m, NFTA_RULE_CHAIN, chain);
	return netlink_request(NETLINK_NETFILTER, m, on_counting_rule, ret);
}

uint64_t firewall_lost(struct firewall *f)
{
	uint64_t taken, arrived, lost, new;

	/* in this order: what was taken has arrived by the time that the second is asked for */
	if (counted(RULESET_TAKEN_CHAIN, &taken) < 0 || counted(RULESET_ARRIVED_CHAIN, &arrived) < 0)
		return 0;
	lost = taken > arrived ? taken - arrived : 0;
	new = lost > f->lost ? lost - f->lost : 0;
	/* a stray one is forgotten when others come through; a reload begins at 0 */
	if (new > 1 || lost < f->lost || arrived != f->arrived)
		f->lost = lost;
	f->arrived = arrived;
	return new > 1 ? new : 0;
}

/* ---------------------------------------------------------------- why */
static int on_chain(const struct nlmsghdr *m, void *data)
{
	char *suspects = data;
	struct nftnl_chain *c = nftnl_chain_alloc();
	size_t length = strlen(suspects);

	if (c && nftnl_chain_nlmsg_parse(m, c) >= 0 && nftnl_chain_is_set(c, NFTNL_CHAIN_HOOKNUM) &&
	    nftnl_chain_get_u32(c, NFTNL_CHAIN_HOOKNUM) == NF_INET_LOCAL_IN &&
	    nftnl_chain_get_u32(c, NFTNL_CHAIN_POLICY) == NF_DROP)
		snprintf(suspects + length, 256 - length, "%schain %s of table %s %s", length ? ", " : "",
			 nftnl_chain_get_str(c, NFTNL_CHAIN_NAME), family_name(nftnl_chain_get_u32(c, NFTNL_CHAIN_FAMILY)),
			 nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE));
	if (c)
		nftnl_chain_free(c);
	return MNL_CB_OK;
}

char *firewall_cause(const struct config *c)
{
	char buf[256], suspects[256] = "", *text;
	struct nlmsghdr *m = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, NLM_F_DUMP, 0);

	netlink_request(NETLINK_NETFILTER, m, on_chain, suspects);
	if (asprintf(&text, "%s%s. Let in what has suntap's mark: `nft insert rule FAMILY TABLE CHAIN meta mark and "
		     "0x%" PRIx32 " == 0x%" PRIx32 " accept` or `iptables -I INPUT -m mark --mark 0x%" PRIx32 "/0x%" PRIx32
		     " -j ACCEPT` (and ip6tables), then `systemctl reload suntapd`",
		     *suspects ? "most likely by a firewall whose policy for incoming packets is to drop: " :
		     "by a rule for incoming packets, one that changes the packet mark, or a reverse path filter (rp_filter)",
		     suspects, c->mark_mask, c->mark, c->mark, c->mark_mask) < 0)
		return NULL;
	return text;
}

/* ---------------------------------------------------------------- our mark in foreign rules */

static struct value *reg(struct firewall *f, uint32_t number)
{
	static struct value nowhere;

	/* the first 4 bytes of a register of 16 are those of the first of its four */
	if (number >= NFT_REG_1 && number <= NFT_REG_4)
		number = NFT_REG32_00 + 4 * (number - NFT_REG_1);
	return number < ARRAY_SIZE(f->registers) ? &f->registers[number] : &nowhere;
}

static uint32_t u32_of(struct nftnl_expr *e, uint16_t attribute)
{
	uint32_t length = 0, value = 0;
	const void *data = nftnl_expr_get(e, attribute, &length);

	if (data && length >= sizeof(value))
		memcpy(&value, data, sizeof(value));
	return value;
}

static void mark_is_set(struct firewall *f, const struct value *v)
{
	if (!v->known)
		return;
	f->taken |= v->bits;
	f->found |= (v->bits & f->mark_mask) == f->mark;
}

/* What one expression does to registers and mark. */
static int follow(struct nftnl_expr *e, void *data)
{
	struct firewall *f = data;
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_NAME);

	if (strcmp(name, "immediate") == 0 && nftnl_expr_is_set(e, NFTNL_EXPR_IMM_DATA)) {
		*reg(f, nftnl_expr_get_u32(e, NFTNL_EXPR_IMM_DREG)) = (struct value){ true, 0, u32_of(e, NFTNL_EXPR_IMM_DATA) };
	} else if (strcmp(name, "meta") == 0 && nftnl_expr_is_set(e, NFTNL_EXPR_META_DREG)) {
		*reg(f, nftnl_expr_get_u32(e, NFTNL_EXPR_META_DREG)) =
			(struct value){ nftnl_expr_get_u32(e, NFTNL_EXPR_META_KEY) == NFT_META_MARK, UINT32_MAX, 0 };
	} else if (strcmp(name, "meta") == 0 && nftnl_expr_get_u32(e, NFTNL_EXPR_META_KEY) == NFT_META_MARK) {
		mark_is_set(f, reg(f, nftnl_expr_get_u32(e, NFTNL_EXPR_META_SREG)));
	} else if (strcmp(name, "bitwise") == 0) {
		struct value v = *reg(f, nftnl_expr_get_u32(e, NFTNL_EXPR_BITWISE_SREG));
		uint32_t mask = u32_of(e, NFTNL_EXPR_BITWISE_MASK), bits = u32_of(e, NFTNL_EXPR_BITWISE_XOR);

		v.known = v.known && (!nftnl_expr_is_set(e, NFTNL_EXPR_BITWISE_OP) ||
				      nftnl_expr_get_u32(e, NFTNL_EXPR_BITWISE_OP) == NFT_BITWISE_BOOL);
		v.mask &= mask;
		v.bits = (v.bits & mask) ^ bits;
		*reg(f, nftnl_expr_get_u32(e, NFTNL_EXPR_BITWISE_DREG)) = v;
	} else if (strcmp(name, "target") == 0 && strcmp(nftnl_expr_get_str(e, NFTNL_EXPR_TG_NAME), "MARK") == 0) {
		struct xt_mark_tginfo2 info = { 0 };
		uint32_t length = 0;
		const void *given = nftnl_expr_get(e, NFTNL_EXPR_TG_INFO, &length);

		if (given && length >= sizeof(info))
			memcpy(&info, given, sizeof(info));
		mark_is_set(f, &(struct value){ true, ~info.mask, info.mark });
	} else if (strcmp(name, "cmp") != 0 && strcmp(name, "counter") != 0) {
		/* where else it may have put something is not known */
		memset(f->registers, 0, sizeof(f->registers));
	}
	return 0;
}

static int on_rule(const struct nlmsghdr *m, void *data)
{
	struct firewall *f = data;
	struct nftnl_rule *r = nftnl_rule_alloc();

	memset(f->registers, 0, sizeof(f->registers));
	f->found = false;
	/* one of a kind that libnftnl does not know is not read */
	if (r && nftnl_rule_nlmsg_parse(m, r) >= 0 && !is_ours(nftnl_rule_get_str(r, NFTNL_RULE_TABLE))) {
		nftnl_expr_foreach(r, follow, f);
		if (f->found && !f->where &&
		    asprintf(&f->where, "a rule in chain %s of table %s %s", nftnl_rule_get_str(r, NFTNL_RULE_CHAIN),
			     family_name(nftnl_rule_get_u32(r, NFTNL_RULE_FAMILY)), nftnl_rule_get_str(r, NFTNL_RULE_TABLE)) < 0)
			f->where = NULL;
	}
	if (r)
		nftnl_rule_free(r);
	return MNL_CB_OK;
}

static void stop_reading(struct firewall *f)
{
	f->source = sd_event_source_disable_unref(f->source);
	if (f->nl)
		mnl_socket_close(f->nl);
	f->nl = NULL;
	free(f->where);
	f->where = NULL;
	f->taken = 0;
}

static void tell(struct firewall *f)
{
	uint32_t free_bit = UINT32_C(1) << 30;
	char CLEANUP(freep) *text = NULL;

	if (!f->where)
		return;
	while (free_bit && free_bit & f->taken)
		free_bit >>= 1;
	if (asprintf(&text, "%s sets the packet mark 0x%" PRIx32 "/0x%" PRIx32 ", which is suntap's: such packets are delivered to "
		     "this machine instead of to where they should go. Set `mark = 0x%" PRIx32 "/0x%" PRIx32 "` in [suntapd] and "
		     "restart it, or change that rule", f->where, f->mark, f->mark_mask, free_bit, free_bit) >= 0)
		f->foreign_mark(text);
	else
		text = NULL;
}

static void begin_reading(struct firewall *f);

static int on_rules(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct firewall *f = userdata;
	char buf[NETLINK_BUFFER] __attribute__((aligned(8)));
	ssize_t n = mnl_socket_recvfrom(f->nl, buf, sizeof(buf));
	int r = n < 0 ? -1 : mnl_cb_run(buf, (size_t)n, 0, mnl_socket_get_portid(f->nl), on_rule, f);

	(void)source, (void)fd, (void)revents;
	if (r > MNL_CB_STOP || (n < 0 && errno == EAGAIN))
		return 0;
	/* EINTR: rules were changed while they were read */
	if (r < 0 && errno == EINTR && f->retries-- > 0) {
		stop_reading(f);
		begin_reading(f);
		return 0;
	}
	tell(f);
	stop_reading(f);
	return 0;
}

static void begin_reading(struct firewall *f)
{
	char buf[256];
	struct nlmsghdr *m = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETRULE, NFPROTO_UNSPEC, NLM_F_DUMP, 0);

	f->nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!f->nl || mnl_socket_bind(f->nl, 0, MNL_SOCKET_AUTOPID) < 0 || mnl_socket_sendto(f->nl, m, m->nlmsg_len) < 0 ||
	    sd_event_add_io(f->event, &f->source, mnl_socket_get_fd(f->nl), EPOLLIN, on_rules, f) < 0)
		stop_reading(f);
}

void firewall_read(struct firewall *f, const struct config *c)
{
	stop_reading(f);
	f->mark = c->mark;
	f->mark_mask = c->mark_mask;
	f->retries = RETRIES;
	if (ruleset_needed(c))
		begin_reading(f);
}

/* ---------------------------------------------------------------- life */
int firewall_new(struct firewall **ret, sd_event *event, void (*foreign_mark)(const char *text))
{
	struct firewall *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	*f = (struct firewall){ .event = sd_event_ref(event), .foreign_mark = foreign_mark };
	*ret = f;
	return 0;
}

struct firewall *firewall_free(struct firewall *f)
{
	if (!f)
		return NULL;
	stop_reading(f);
	sd_event_unref(f->event);
	free(f);
	return NULL;
}
