/* SPDX-License-Identifier: GPL-2.0-or-later */
/* destinations.c - the table of destinations; see destination.h */
#include <string.h>

#include "export/destination.h"
#include "shared/util.h"

static const struct destination_kind *const kinds[] = {
	&destination_influxdb, &destination_splunk, &destination_mqtt, &destination_metrics, &destination_json,
};

const struct destination_kind *destination_kind(size_t i)
{
	return i < ARRAY_SIZE(kinds) ? kinds[i] : NULL;
}

const struct destination_kind *destination_find(const char *name, size_t length)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strlen(kinds[i]->name) == length && memcmp(kinds[i]->name, name, length) == 0)
			return kinds[i];
	return NULL;
}
