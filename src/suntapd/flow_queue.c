/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flow_queue.c - the lists and queues that flows wait in; by slot, so that nothing is allocated */
#include "suntapd/flow_private.h"

void flow_timer_at_most(struct flows *t, unsigned ms)
{
	uint64_t usec = ms * UINT64_C(1000), pending, now = 0;
	int on;

	t->touched = true;
	if (sd_event_source_get_enabled(t->timer, &on) < 0)
		return;
	sd_event_now(t->event, CLOCK_MONOTONIC, &now);
	if (on == SD_EVENT_OFF || (sd_event_source_get_time(t->timer, &pending) >= 0 && pending > now + usec))
		sd_event_source_set_time_relative(t->timer, usec);
	sd_event_source_set_enabled(t->timer, SD_EVENT_ONESHOT);
}

void flow_list_add(struct flows *t, enum flow_list list, uint32_t slot, int64_t deadline)
{
	struct flow *f = &t->slots[slot];

	f->deadline = deadline;
	f->previous = NO_SLOT;
	f->next = t->lists[list];
	if (f->next != NO_SLOT)
		t->slots[f->next].previous = slot;
	t->lists[list] = slot;
	flow_timer_at_most(t, list == LIST_RESETTING ? RESET_TICK_MS : CONNECT_TICK_MS);
}

void flow_list_remove(struct flows *t, enum flow_list list, uint32_t slot)
{
	struct flow *f = &t->slots[slot];

	if (f->previous != NO_SLOT)
		t->slots[f->previous].next = f->next;
	else
		t->lists[list] = f->next;
	if (f->next != NO_SLOT)
		t->slots[f->next].previous = f->previous;
}

void flow_queue_put(struct flows *t, struct queue *q, uint32_t slot)
{
	struct flow *f = &t->slots[slot];

	if (f->queued)
		return;
	f->queued = true;
	f->queue_next = NO_SLOT;
	if (q->last != NO_SLOT)
		t->slots[q->last].queue_next = slot;
	else
		q->first = slot;
	q->last = slot;
}

uint32_t flow_queue_take(struct flows *t, struct queue *q)
{
	uint32_t slot = q->first;

	if (slot == NO_SLOT)
		return NO_SLOT;
	q->first = t->slots[slot].queue_next;
	if (q->first == NO_SLOT)
		q->last = NO_SLOT;
	t->slots[slot].queued = false;
	return slot;
}

void flow_queue_remove(struct flows *t, struct queue *q, uint32_t slot)
{
	uint32_t previous = NO_SLOT;

	for (uint32_t s = q->first; s != NO_SLOT; previous = s, s = t->slots[s].queue_next) {
		if (s != slot)
			continue;
		if (previous != NO_SLOT)
			t->slots[previous].queue_next = t->slots[s].queue_next;
		else
			q->first = t->slots[s].queue_next;
		if (q->last == s)
			q->last = previous;
		t->slots[s].queued = false;
		return;
	}
}
