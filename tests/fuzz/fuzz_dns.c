/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_dns.c - any bytes as the answer of a name server that the owner has named: only whole addresses come out of it */
#include "suntapd/resolver.c"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct resolver_answer a = { .count = 0 };
	uint8_t *exact = malloc(size ? size : 1);

	MUST(exact);
	memcpy(exact, data, size);
	read_records(exact, (int)size, 443, &a);
	MUST(a.count <= RESOLVER_ADDRESSES_MAX);
	for (size_t i = 0; i < a.count; i++) {
		char text[FLOW_ADDRESS_TEXT];

		MUST((a.addresses[i].family == 4 || a.addresses[i].family == 6) && a.addresses[i].port == 443);
		MUST(*flow_address_format(&a.addresses[i], text) != '?');
	}
	free(exact);
	return 0;
}
