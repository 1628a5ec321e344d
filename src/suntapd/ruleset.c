/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ruleset.c - what our two tables contain
 *
 * Theory of operation
 *	suntap_live	for packets of connections that we have: they have a transparent socket here. Mark them, so
 *			that the policy route brings them to it. On every interface: the cloud's answers to a
 *			connection made with the device's own address come in from the other side.
 *	suntap		for the opening SYN of a new connection, one rule per device and kind of source:
 *			tproxy to our listener, and the same mark. Two more chains count the opening SYNs that were taken, and
 *			those that came through all that others have between here and the listener: see firewall.h.
 *
 *	Both come behind the translation of addresses: what the owner's DNAT sends to this machine is not ours, what it sends
 *	elsewhere we take there; and before it the packets of a translated connection would not be found to have a socket.
 *
 *	The opening SYN only, since connections that went straight while suntapd was away would be reset by
 *	a tproxy rule that took them in the middle. Nothing that is addressed to the gateway itself, or a
 *	device that asks its router for a web page on port 10000 would be served by the cloud.
 *
 *	A set for the sources and one for the ports of each device, so that `nft list ruleset` can be read, and
 *	the number of rules does not grow with the number of addresses.
 */
#include "suntapd/ruleset.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "shared/util.h"

/* The numbers are nft's own (its include/datatype.h): the kernel keeps them for `nft list`. */
const struct ruleset_type ruleset_types[] = {
	[SET_IP4] = { "ipv4_addr", 7, 4, true },
	[SET_IP6] = { "ipv6_addr", 8, 16, true },
	[SET_MAC] = { "ether_addr", 9, 6, false },
	[SET_PORT] = { "inet_service", 13, 2, false },
};

/* ---------------------------------------------------------------- statements */

static int add(struct nftnl_rule *to, struct nftnl_expr *e)
{
	if (!e)
		return -ENOMEM;
	nftnl_rule_add_expr(to, e);
	return 0;
}

static int add_meta_load(struct nftnl_rule *to, uint32_t key)
{
	struct nftnl_expr *e = nftnl_expr_alloc("meta");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
		nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, NFT_REG_1);
	}
	return add(to, e);
}

static int add_cmp(struct nftnl_rule *to, uint32_t op, const void *data, size_t size)
{
	struct nftnl_expr *e = nftnl_expr_alloc("cmp");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
		nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
		nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, data, (uint32_t)size);
	}
	return add(to, e);
}

static int add_meta_is(struct nftnl_rule *to, uint32_t key, const void *data, size_t size)
{
	int r = add_meta_load(to, key);

	return r ? r : add_cmp(to, NFT_CMP_EQ, data, size);
}

static int add_payload(struct nftnl_rule *to, uint32_t base, size_t offset, size_t size)
{
	struct nftnl_expr *e = nftnl_expr_alloc("payload");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
		nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, (uint32_t)offset);
		nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, (uint32_t)size);
		nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
	}
	return add(to, e);
}

static int add_lookup(struct nftnl_rule *to, const char *set, uint32_t set_id)
{
	struct nftnl_expr *e = nftnl_expr_alloc("lookup");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
		nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, set);
		nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SET_ID, set_id);
	}
	return add(to, e);
}

static int add_bitwise(struct nftnl_rule *to, const void *mask, const void *xor, size_t size)
{
	struct nftnl_expr *e = nftnl_expr_alloc("bitwise");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
		nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
		nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, (uint32_t)size);
		nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, mask, (uint32_t)size);
		nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, xor, (uint32_t)size);
	}
	return add(to, e);
}

static int add_immediate(struct nftnl_rule *to, uint32_t reg, const void *data, size_t size)
{
	struct nftnl_expr *e = nftnl_expr_alloc("immediate");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, reg);
		nftnl_expr_set(e, NFTNL_EXPR_IMM_DATA, data, (uint32_t)size);
	}
	return add(to, e);
}

static int add_nfproto(struct nftnl_rule *to, uint8_t family)
{
	return add_meta_is(to, NFT_META_NFPROTO, &family, sizeof(family));
}

static int add_in_set(struct nftnl_rule *to, uint32_t base, size_t offset, size_t size, const char *set, uint32_t id)
{
	int r = add_payload(to, base, offset, size);

	return r ? r : add_lookup(to, set, id);
}

static int add_tproxy(struct nftnl_rule *to, uint32_t family, const void *address, size_t size, uint32_t port)
{
	uint16_t net_port = htons((uint16_t)port);
	struct nftnl_expr *e;
	int r;

	if ((r = add_immediate(to, NFT_REG_1, address, size)) < 0 ||
	    (r = add_immediate(to, NFT_REG_2, &net_port, sizeof(net_port))) < 0)
		return r;
	e = nftnl_expr_alloc("tproxy");
	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_TPROXY_FAMILY, family);
		nftnl_expr_set_u32(e, NFTNL_EXPR_TPROXY_REG_ADDR, NFT_REG_1);
		nftnl_expr_set_u32(e, NFTNL_EXPR_TPROXY_REG_PORT, NFT_REG_2);
	}
	return add(to, e);
}

static int add_mark(struct nftnl_rule *to, uint32_t mark, uint32_t mask)
{
	uint32_t keep = ~mask;
	struct nftnl_expr *e;
	int r;

	if (keep) {
		if ((r = add_meta_load(to, NFT_META_MARK)) < 0 || (r = add_bitwise(to, &keep, &mark, sizeof(mark))) < 0)
			return r;
	} else {
		if ((r = add_immediate(to, NFT_REG_1, &mark, sizeof(mark))) < 0)
			return r;
	}
	e = nftnl_expr_alloc("meta");
	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, NFT_META_MARK);
		nftnl_expr_set_u32(e, NFTNL_EXPR_META_SREG, NFT_REG_1);
	}
	return add(to, e);
}

static int add_marked(struct nftnl_rule *to, uint32_t mark, uint32_t mask)
{
	static const uint32_t none;
	int r = add_meta_load(to, NFT_META_MARK);

	if (r == 0 && ~mask)
		r = add_bitwise(to, &mask, &none, sizeof(mask));
	return r ? r : add_cmp(to, NFT_CMP_EQ, &mark, sizeof(mark));
}

static int add_plain(struct nftnl_rule *to, const char *name, uint16_t attr1, uint32_t v1, uint16_t attr2, uint32_t v2,
		     uint16_t attr3, uint32_t v3)
{
	struct nftnl_expr *e = nftnl_expr_alloc(name);

	if (e) {
		nftnl_expr_set_u32(e, attr1, v1);
		nftnl_expr_set_u32(e, attr2, v2);
		if (attr3)
			nftnl_expr_set_u32(e, attr3, v3);
	}
	return add(to, e);
}

const char *ruleset_statement_set(const struct ruleset_statement *s)
{
	switch (s->kind) {
	case RS_SADDR4_IN:
	case RS_SADDR6_IN:
	case RS_ETHER_SADDR_IN:
	case RS_DPORT_IN:
		return s->text;
	default:
		return NULL;
	}
}

int ruleset_add_expressions(struct nftnl_rule *to, const struct ruleset_statement *s, uint32_t set_id)
{
	static const uint8_t tcp = IPPROTO_TCP, flags = TH_FIN | TH_SYN | TH_RST | TH_ACK, syn = TH_SYN, none, yes = 1;
	static const uint16_t ethernet = ARPHRD_ETHER;
	static const uint32_t local = 2;	/* RTN_LOCAL, whose header is not for both of us */
	const struct in_addr loopback4 = { htonl(INADDR_LOOPBACK) };
	char interface[IFNAMSIZ] = "";
	int r = 0;

	switch (s->kind) {
	case RS_IIFNAME:
		memcpy(interface, s->text, strlen(s->text));
		return add_meta_is(to, NFT_META_IIFNAME, interface, sizeof(interface));
	case RS_IP4:
		return add_nfproto(to, NFPROTO_IPV4);
	case RS_IP6:
		return add_nfproto(to, NFPROTO_IPV6);
	case RS_SADDR4_IN:
		r = add_nfproto(to, NFPROTO_IPV4);
		return r ? r : add_in_set(to, NFT_PAYLOAD_NETWORK_HEADER, offsetof(struct ip, ip_src), 4, s->text, set_id);
	case RS_SADDR6_IN:
		r = add_nfproto(to, NFPROTO_IPV6);
		return r ? r : add_in_set(to, NFT_PAYLOAD_NETWORK_HEADER, offsetof(struct ip6_hdr, ip6_src), 16, s->text, set_id);
	case RS_ETHER_SADDR_IN:
		r = add_meta_is(to, NFT_META_IIFTYPE, &ethernet, sizeof(ethernet));
		return r ? r : add_in_set(to, NFT_PAYLOAD_LL_HEADER, 6, 6, s->text, set_id);
	case RS_TCP:
		return add_meta_is(to, NFT_META_L4PROTO, &tcp, sizeof(tcp));
	case RS_DPORT_IN:
		r = add_meta_is(to, NFT_META_L4PROTO, &tcp, sizeof(tcp));
		return r ? r : add_in_set(to, NFT_PAYLOAD_TRANSPORT_HEADER, offsetof(struct tcphdr, th_dport), 2, s->text,
					  set_id);
	case RS_OPENING_SYN:
		if ((r = add_payload(to, NFT_PAYLOAD_TRANSPORT_HEADER, offsetof(struct tcphdr, th_flags), 1)) < 0 ||
		    (r = add_bitwise(to, &flags, &none, 1)) < 0)
			return r;
		return add_cmp(to, NFT_CMP_EQ, &syn, 1);
	case RS_NOT_TO_US:
		r = add_plain(to, "fib", NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE, NFTNL_EXPR_FIB_FLAGS,
			      NFTA_FIB_F_DADDR, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
		return r ? r : add_cmp(to, NFT_CMP_NEQ, &local, sizeof(local));
	case RS_SOCKET_TRANSPARENT:
		r = add_plain(to, "socket", NFTNL_EXPR_SOCKET_KEY, NFT_SOCKET_TRANSPARENT, NFTNL_EXPR_SOCKET_DREG, NFT_REG_1,
			      0, 0);
		return r ? r : add_cmp(to, NFT_CMP_EQ, &yes, 1);
	case RS_COUNTER:
		return add(to, nftnl_expr_alloc("counter"));
	case RS_TPROXY4:
		return add_tproxy(to, NFPROTO_IPV4, &loopback4, 4, s->value);
	case RS_TPROXY6:
		return add_tproxy(to, NFPROTO_IPV6, &in6addr_loopback, 16, s->value);
	case RS_MARK:
		return add_mark(to, s->value, s->mask);
	case RS_MARKED:
		return add_marked(to, s->value, s->mask);
	case RS_ACCEPT:
		return add_plain(to, "immediate", NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT, NFTNL_EXPR_IMM_VERDICT, NF_ACCEPT, 0,
				 0);
	case RS_KINDS:
		break;
	}
	return -EINVAL;
}

static void print_statement(const struct ruleset_statement *s, FILE *out)
{
	switch (s->kind) {
	case RS_IIFNAME: fprintf(out, "iifname \"%s\"", s->text); break;
	case RS_IP4: fputs("meta nfproto ipv4", out); break;
	case RS_IP6: fputs("meta nfproto ipv6", out); break;
	case RS_SADDR4_IN: fprintf(out, "ip saddr @%s", s->text); break;
	case RS_SADDR6_IN: fprintf(out, "ip6 saddr @%s", s->text); break;
	case RS_ETHER_SADDR_IN: fprintf(out, "ether saddr @%s", s->text); break;
	case RS_TCP: fputs("meta l4proto tcp", out); break;
	case RS_DPORT_IN: fprintf(out, "tcp dport @%s", s->text); break;
	case RS_OPENING_SYN: fputs("tcp flags & (fin|syn|rst|ack) == syn", out); break;
	case RS_NOT_TO_US: fputs("fib daddr type != local", out); break;
	case RS_SOCKET_TRANSPARENT: fputs("socket transparent 1", out); break;
	case RS_COUNTER: fputs("counter", out); break;
	case RS_TPROXY4: fprintf(out, "tproxy ip to 127.0.0.1:%" PRIu32, s->value); break;
	case RS_TPROXY6: fprintf(out, "tproxy ip6 to [::1]:%" PRIu32, s->value); break;
	case RS_MARK:
		if (~s->mask)
			fprintf(out, "meta mark set meta mark & 0x%08" PRIx32 " | 0x%08" PRIx32, ~s->mask, s->value);
		else
			fprintf(out, "meta mark set 0x%08" PRIx32, s->value);
		break;
	case RS_MARKED:
		if (~s->mask)
			fprintf(out, "meta mark & 0x%08" PRIx32 " == 0x%08" PRIx32, s->mask, s->value);
		else
			fprintf(out, "meta mark 0x%08" PRIx32, s->value);
		break;
	case RS_ACCEPT: fputs("accept", out); break;
	case RS_KINDS: break;
	}
}

/* ---------------------------------------------------------------- the description */

bool ruleset_needed(const struct config *c)
{
	/* keep_source: answers to a foreign address need the live table and the route, however the device came. */
	for (size_t i = 0; i < c->device_count; i++)
		if (c->devices[i].way == WAY_TPROXY || c->devices[i].keep_source)
			return true;
	return false;
}

static void add_statement(struct ruleset_rule *r, struct ruleset_statement s)
{
	assert(r->count < ARRAY_SIZE(r->statements));
	r->statements[r->count++] = s;
}

/* The key behind the last of a prefix: one bit added at its end. */
static void set_end(struct ruleset_element *e, size_t size)
{
	unsigned bit = e->prefix;

	memcpy(e->after, e->first, size);
	while (bit-- > 0) {
		uint8_t value = (uint8_t)(0x80 >> bit % 8);

		e->after[bit / 8] ^= value;
		if (e->after[bit / 8] & value)
			return;		/* no carry */
	}
	e->open_end = true;
}

static bool contains(const struct config_source *outer, const struct config_source *inner)
{
	const uint8_t *a = outer->ip6.s6_addr, *b = inner->ip6.s6_addr;

	if (outer->kind != inner->kind || outer->kind == SOURCE_MAC || outer->prefix >= inner->prefix)
		return false;
	for (unsigned bit = 0; bit < outer->prefix; bit++)
		if ((a[bit / 8] ^ b[bit / 8]) & 0x80 >> bit % 8)
			return false;
	return true;
}

/* A prefix inside another of the same device says nothing new, and the kernel takes no overlaps. */
static bool redundant(const struct config_device *d, size_t i)
{
	for (size_t j = 0; j < d->source_count; j++)
		if (contains(&d->sources[j], &d->sources[i]))
			return true;
	return false;
}

/* Fills the next free set of t with the device's sources of one kind, NULL where it has none. */
static const char *add_source_set(struct ruleset_table *t, const struct config_device *d, enum config_source_kind kind)
{
	static const struct {
		const char *suffix;
		enum ruleset_set_type type;
	} sets[] = {
		[SOURCE_IP4] = { "ip4", SET_IP4 },
		[SOURCE_IP6] = { "ip6", SET_IP6 },
		[SOURCE_MAC] = { "mac", SET_MAC },
	};
	struct ruleset_set *set = &t->sets[t->set_count];

	*set = (struct ruleset_set){ .type = sets[kind].type };
	snprintf(set->name, sizeof(set->name), "%s_%s", d->name, sets[kind].suffix);
	for (size_t i = 0; i < d->source_count; i++) {
		const struct config_source *s = &d->sources[i];
		struct ruleset_element *e = &set->elements[set->count];
		uint32_t size = ruleset_types[set->type].size;

		if (s->kind != kind || redundant(d, i))
			continue;
		set->count++;
		memcpy(e->first, &s->ip6, size);
		e->prefix = s->prefix;
		if (kind != SOURCE_MAC)
			set_end(e, size);
	}
	if (!set->count)
		return NULL;
	t->set_count++;
	return set->name;
}

static const char *add_port_set(struct ruleset_table *t, const struct config_device *d)
{
	struct ruleset_set *set = &t->sets[t->set_count++];

	*set = (struct ruleset_set){ .type = SET_PORT };
	snprintf(set->name, sizeof(set->name), "%s_ports", d->name);
	for (size_t i = 0; i < d->port_count; i++) {
		uint16_t port = htons(d->ports[i]);

		memcpy(set->elements[set->count++].first, &port, sizeof(port));
	}
	return set->name;
}

static void add_intercept_rule(struct ruleset_table *t, const struct config *c, const struct config_device *d,
			       const struct ruleset_statement *source, bool ip6, const char *ports)
{
	struct ruleset_rule *r = &t->rules[t->rule_count++];

	*r = (struct ruleset_rule){ 0 };
	if (*d->interface)
		add_statement(r, (struct ruleset_statement){ .kind = RS_IIFNAME, .text = d->interface });
	if (source)
		add_statement(r, *source);
	if (!source || source->kind == RS_ETHER_SADDR_IN)
		add_statement(r, (struct ruleset_statement){ .kind = ip6 ? RS_IP6 : RS_IP4 });
	add_statement(r, (struct ruleset_statement){ .kind = RS_DPORT_IN, .text = ports });
	add_statement(r, (struct ruleset_statement){ .kind = RS_OPENING_SYN });
	add_statement(r, (struct ruleset_statement){ .kind = RS_NOT_TO_US });
	add_statement(r, (struct ruleset_statement){ .kind = RS_COUNTER });
	/* Where nobody listens the rule ends here, and the connection goes straight. */
	add_statement(r, (struct ruleset_statement){ .kind = ip6 ? RS_TPROXY6 : RS_TPROXY4, .value = c->tproxy_port });
	add_statement(r, (struct ruleset_statement){ .kind = RS_MARK, .value = c->mark, .mask = c->mark_mask });
	add_statement(r, (struct ruleset_statement){ .kind = RS_ACCEPT });
	snprintf(r->comment, sizeof(r->comment), "device %s", d->name);
}

static void add_device(struct ruleset_table *t, const struct config *c, const struct config_device *d, bool ip6)
{
	const char *ports = add_port_set(t, d), *set;

	if (d->source_count == 0) {
		add_intercept_rule(t, c, d, NULL, false, ports);
		if (ip6)
			add_intercept_rule(t, c, d, NULL, true, ports);
		return;
	}
	set = add_source_set(t, d, SOURCE_IP4);
	if (set)
		add_intercept_rule(t, c, d, &(struct ruleset_statement){ .kind = RS_SADDR4_IN, .text = set }, false, ports);
	set = ip6 ? add_source_set(t, d, SOURCE_IP6) : NULL;
	if (set)
		add_intercept_rule(t, c, d, &(struct ruleset_statement){ .kind = RS_SADDR6_IN, .text = set }, true, ports);
	set = add_source_set(t, d, SOURCE_MAC);
	for (int six = 0; set && six <= (ip6 ? 1 : 0); six++)
		add_intercept_rule(t, c, d, &(struct ruleset_statement){ .kind = RS_ETHER_SADDR_IN, .text = set }, six, ports);
}

static void add_live_rule(struct ruleset_table *t, const struct config *c)
{
	struct ruleset_rule *r = &t->rules[t->rule_count++];

	*r = (struct ruleset_rule){ .comment = "connections that suntapd has" };
	add_statement(r, (struct ruleset_statement){ .kind = RS_TCP });
	add_statement(r, (struct ruleset_statement){ .kind = RS_SOCKET_TRANSPARENT });
	add_statement(r, (struct ruleset_statement){ .kind = RS_MARK, .value = c->mark, .mask = c->mark_mask });
	add_statement(r, (struct ruleset_statement){ .kind = RS_COUNTER });
	add_statement(r, (struct ruleset_statement){ .kind = RS_ACCEPT });
}

static void add_counting_rule(struct ruleset_table *t, const struct config *c, size_t chain, const char *comment)
{
	struct ruleset_rule *r = &t->rules[t->rule_count++];

	*r = (struct ruleset_rule){ .chain = chain };
	strcpy(r->comment, comment);
	add_statement(r, (struct ruleset_statement){ .kind = RS_TCP });
	add_statement(r, (struct ruleset_statement){ .kind = RS_MARKED, .value = c->mark, .mask = c->mark_mask });
	add_statement(r, (struct ruleset_statement){ .kind = RS_OPENING_SYN });
	add_statement(r, (struct ruleset_statement){ .kind = RS_COUNTER });
}

struct ruleset *ruleset_new(const struct config *c, bool ip6)
{
	struct ruleset *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->live = (struct ruleset_table){
		.name = RULESET_LIVE_TABLE, .owner = true,
		.chains = { { .name = RULESET_CHAIN, .priority = RULESET_LIVE_PRIORITY } },
		.chain_count = 1,
	};
	r->intercept = (struct ruleset_table){
		.name = RULESET_TABLE, .owner = true,
		.chains = {
			{ .name = RULESET_CHAIN, .priority = RULESET_PRIORITY },
			{ .name = RULESET_TAKEN_CHAIN, .priority = RULESET_TAKEN_PRIORITY },
			{ .name = RULESET_ARRIVED_CHAIN, .input = true, .priority = RULESET_ARRIVED_PRIORITY },
		},
		.chain_count = 3,
	};
	/* A device has four sets and four rules at most. Names point into the sets: no growing later. */
	r->live.rules = calloc(1, sizeof(*r->live.rules));
	r->intercept.sets = calloc(4 * c->device_count + 1, sizeof(*r->intercept.sets));
	r->intercept.rules = calloc(4 * c->device_count + 2, sizeof(*r->intercept.rules));
	if (!r->live.rules || !r->intercept.sets || !r->intercept.rules)
		return ruleset_free(r);
	add_live_rule(&r->live, c);
	for (size_t i = 0; i < c->device_count; i++)
		if (c->devices[i].way == WAY_TPROXY)
			add_device(&r->intercept, c, &c->devices[i], ip6);
	add_counting_rule(&r->intercept, c, 1, "taken");
	add_counting_rule(&r->intercept, c, 2, "and arrived here");
	return r;
}

struct ruleset *ruleset_free(struct ruleset *r)
{
	if (r) {
		free(r->live.rules);
		free(r->intercept.sets);
		free(r->intercept.rules);
	}
	free(r);
	return NULL;
}

/* ---------------------------------------------------------------- nft's language */

static void print_element(const struct ruleset_set *set, const struct ruleset_element *e, FILE *out)
{
	char text[INET6_ADDRSTRLEN];

	switch (set->type) {
	case SET_IP4:
	case SET_IP6:
		fputs(inet_ntop(set->type == SET_IP4 ? AF_INET : AF_INET6, e->first, text, sizeof(text)), out);
		if (e->prefix < 8 * ruleset_types[set->type].size)
			fprintf(out, "/%u", e->prefix);
		break;
	case SET_MAC:
		for (size_t i = 0; i < 6; i++)
			fprintf(out, "%s%02x", i ? ":" : "", e->first[i]);
		break;
	case SET_PORT:
		fprintf(out, "%d", e->first[0] << 8 | e->first[1]);
		break;
	}
}

static void print_rule(const struct ruleset_rule *r, FILE *out)
{
	fputs("\t\t", out);
	for (size_t i = 0; i < r->count; i++) {
		print_statement(&r->statements[i], out);
		fputc(' ', out);
	}
	fprintf(out, "comment \"%s\"\n", r->comment);
}

static void print_table(const struct ruleset_table *t, FILE *out)
{
	fprintf(out, "table inet %s {\n", t->name);
	for (size_t i = 0; i < t->set_count; i++) {
		const struct ruleset_set *set = &t->sets[i];

		fprintf(out, "\tset %s {\n\t\ttype %s\n", set->name, ruleset_types[set->type].name);
		if (ruleset_types[set->type].interval)
			fputs("\t\tflags interval\n", out);
		fputs("\t\telements = { ", out);
		for (size_t j = 0; j < set->count; j++) {
			fputs(j ? ",\n\t\t\t     " : "", out);
			print_element(set, &set->elements[j], out);
		}
		fputs(" }\n\t}\n\n", out);
	}
	for (size_t i = 0, rule = 0; i < t->chain_count; i++) {
		fprintf(out, "%s\tchain %s {\n\t\ttype filter hook %s priority %" PRId32 "; policy accept;\n", i ? "\n" : "",
			t->chains[i].name, t->chains[i].input ? "input" : "prerouting", t->chains[i].priority);
		for (; rule < t->rule_count && t->rules[rule].chain == i; rule++)
			print_rule(&t->rules[rule], out);
		fputs("\t}\n", out);
	}
	fputs("}\n", out);
}

void ruleset_print(const struct ruleset *r, FILE *out)
{
	const char *names[] = { r->live.name, r->intercept.name };

	fputs("# Start from nothing, also when this is loaded again.\n", out);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		fprintf(out, "table inet %s\ndelete table inet %s\n", names[i], names[i]);
	fputs("\n# Connections that suntapd has already, on every interface.\n", out);
	print_table(&r->live, out);
	fputs("\n# The opening of a new connection by a device.\n", out);
	print_table(&r->intercept, out);
}
