/* SPDX-License-Identifier: GPL-2.0-or-later */
/* routine.c - which openings and ends of flows are as usual; see routine.h */
#include "decoder/routine.h"

#include <string.h>

/* The row of a flow's device, a new one if need be, and whether it is. */
static size_t row_of(struct routine *r, const struct flow_entry *flow, bool *ret_new)
{
	struct flow_address device = flow->device;
	size_t i, count = r->made < ROUTINE_ROWS ? r->made : ROUTINE_ROWS;

	device.port = 0;
	for (i = 0; i < count; i++)
		if (r->rows[i].cloud_port == flow->cloud.port && flow_address_equal(&r->rows[i].device, &device) &&
		    !strncmp(r->rows[i].name, flow->name, sizeof(flow->name)))
			break;
	*ret_new = i == count;
	if (*ret_new) {
		i = r->made++ % ROUTINE_ROWS;
		memcpy(r->rows[i].name, flow->name, sizeof(flow->name));
		r->rows[i].device = device;
		r->rows[i].cloud_port = flow->cloud.port;
		r->rows[i].ended = false;
	}
	return i;
}

bool routine_opening(struct routine *r, const struct flow_entry *flow)
{
	bool first;

	row_of(r, flow, &first);
	return !first;
}

bool routine_end(struct routine *r, const struct flow_close *close)
{
	bool first;
	size_t i = row_of(r, &close->flow, &first);
	bool same = r->rows[i].ended && r->rows[i].end == close->end;

	r->rows[i].ended = true;
	r->rows[i].end = close->end;
	return same;
}
