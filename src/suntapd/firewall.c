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

#include "shared/util.h"
#include "suntapd/netlink.h"
#include "suntapd/ruleset.h"

enum {
	RULES_MOST = 4096,		/* read at once: the relay waits meanwhile */
	RETRIES = 20,
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

/* What a register holds, of a packet whose mark is m: (m & mask) ^ bits, if it is known. */
struct value {
	bool known;
	uint32_t mask, bits;
};

struct scan {
	const struct config *c;
	struct value registers[NFT_REG32_15 + 1];
	unsigned rules;
	bool found;			/* in this rule */
	uint32_t taken;			/* bits of all marks that are set anywhere */
	char *where;
};

static struct value *reg(struct scan *s, uint32_t number)
{
	static struct value nowhere;

	/* the first 4 bytes of a register of 16 are those of the first of its four */
	if (number >= NFT_REG_1 && number <= NFT_REG_4)
		number = NFT_REG32_00 + 4 * (number - NFT_REG_1);
	return number < ARRAY_SIZE(s->registers) ? &s->registers[number] : &nowhere;
}

static uint32_t u32_of(struct nftnl_expr *e, uint16_t attribute)
{
	uint32_t length = 0, value = 0;
	const void *data = nftnl_expr_get(e, attribute, &length);

	if (data && length >= sizeof(value))
		memcpy(&value, data, sizeof(value));
	return value;
}

static void mark_is_set(struct scan *s, const struct value *v)
{
	if (!v->known)
		return;
	s->taken |= v->bits;
	s->found |= (v->bits & s->c->mark_mask) == s->c->mark;
}

/* What one expression does to registers and mark. */
static int follow(struct nftnl_expr *e, void *data)
{
	struct scan *s = data;
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_NAME);

	if (strcmp(name, "immediate") == 0 && nftnl_expr_is_set(e, NFTNL_EXPR_IMM_DATA)) {
		*reg(s, nftnl_expr_get_u32(e, NFTNL_EXPR_IMM_DREG)) = (struct value){ true, 0, u32_of(e, NFTNL_EXPR_IMM_DATA) };
	} else if (strcmp(name, "meta") == 0 && nftnl_expr_is_set(e, NFTNL_EXPR_META_DREG)) {
		*reg(s, nftnl_expr_get_u32(e, NFTNL_EXPR_META_DREG)) =
			(struct value){ nftnl_expr_get_u32(e, NFTNL_EXPR_META_KEY) == NFT_META_MARK, UINT32_MAX, 0 };
	} else if (strcmp(name, "meta") == 0 && nftnl_expr_get_u32(e, NFTNL_EXPR_META_KEY) == NFT_META_MARK) {
		mark_is_set(s, reg(s, nftnl_expr_get_u32(e, NFTNL_EXPR_META_SREG)));
	} else if (strcmp(name, "bitwise") == 0) {
		struct value v = *reg(s, nftnl_expr_get_u32(e, NFTNL_EXPR_BITWISE_SREG));
		uint32_t mask = u32_of(e, NFTNL_EXPR_BITWISE_MASK), bits = u32_of(e, NFTNL_EXPR_BITWISE_XOR);

		v.known = v.known && (!nftnl_expr_is_set(e, NFTNL_EXPR_BITWISE_OP) ||
				      nftnl_expr_get_u32(e, NFTNL_EXPR_BITWISE_OP) == NFT_BITWISE_BOOL);
		v.mask &= mask;
		v.bits = (v.bits & mask) ^ bits;
		*reg(s, nftnl_expr_get_u32(e, NFTNL_EXPR_BITWISE_DREG)) = v;
	} else if (strcmp(name, "target") == 0 && strcmp(nftnl_expr_get_str(e, NFTNL_EXPR_TG_NAME), "MARK") == 0) {
		struct xt_mark_tginfo2 info = { 0 };
		uint32_t length = 0;
		const void *given = nftnl_expr_get(e, NFTNL_EXPR_TG_INFO, &length);

		if (given && length >= sizeof(info))
			memcpy(&info, given, sizeof(info));
		mark_is_set(s, &(struct value){ true, ~info.mask, info.mark });
	} else if (strcmp(name, "cmp") != 0 && strcmp(name, "counter") != 0) {
		/* where else it may have put something is not known */
		memset(s->registers, 0, sizeof(s->registers));
	}
	return 0;
}

static int on_rule(const struct nlmsghdr *m, void *data)
{
	struct scan *s = data;
	struct nftnl_rule *r = nftnl_rule_alloc();

	if (++s->rules > RULES_MOST || !r) {
		if (r)
			nftnl_rule_free(r);
		return MNL_CB_STOP;
	}
	memset(s->registers, 0, sizeof(s->registers));
	s->found = false;
	/* one of a kind that libnftnl does not know is not read */
	if (nftnl_rule_nlmsg_parse(m, r) >= 0 && !is_ours(nftnl_rule_get_str(r, NFTNL_RULE_TABLE))) {
		nftnl_expr_foreach(r, follow, s);
		if (s->found && !s->where &&
		    asprintf(&s->where, "a rule in chain %s of table %s %s", nftnl_rule_get_str(r, NFTNL_RULE_CHAIN),
			     family_name(nftnl_rule_get_u32(r, NFTNL_RULE_FAMILY)), nftnl_rule_get_str(r, NFTNL_RULE_TABLE)) < 0)
			s->where = NULL;
	}
	nftnl_rule_free(r);
	return MNL_CB_OK;
}

char *firewall_foreign_mark(const struct config *c)
{
	struct scan s = { .c = c };
	uint32_t free_bit = UINT32_C(1) << 30;
	char *text = NULL;
	int e = ruleset_needed(c) ? -EINTR : 0;

	/* EINTR: it was changed while it was read */
	for (int i = 0; i < RETRIES && e == -EINTR; i++) {
		char buf[256];
		struct nlmsghdr *m = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETRULE, NFPROTO_UNSPEC, NLM_F_DUMP, 0);

		free(s.where);
		s = (struct scan){ .c = c };
		e = netlink_request(NETLINK_NETFILTER, m, on_rule, &s);
	}
	if (!s.where)
		return NULL;
	while (free_bit && free_bit & s.taken)
		free_bit >>= 1;
	if (asprintf(&text, "%s sets the packet mark 0x%" PRIx32 "/0x%" PRIx32 ", which is suntap's: such packets are delivered to "
		     "this machine instead of to where they should go. Set `mark = 0x%" PRIx32 "/0x%" PRIx32 "` in [suntapd] and "
		     "restart it, or change that rule", s.where, c->mark, c->mark_mask, free_bit, free_bit) < 0)
		text = NULL;
	free(s.where);
	return text;
}
