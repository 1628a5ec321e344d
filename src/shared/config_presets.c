/* SPDX-License-Identifier: GPL-2.0-or-later */
/* config_presets.c - where the makers' clear-text clouds listen, as the public projects that speak with them say */
#include "shared/config.h"

#include "shared/util.h"

static const struct {
	const char *name;
	uint16_t ports[4];
	uint8_t count;
} presets[] = {
	/* Solarman V5 loggers (LSW-3, LSW-5, LSE-3, MW3 …) of many makers: Deye, Sofar, Solis, Afore, Kstar … */
	{ "solarman",	{ 10000 }, 1 },
	/* GEN3PLUS speaks Solarman V5 to iot.talent-monitoring.com:10000, GEN3 its own to logger.…:5005 */
	{ "tsun",	{ 10000, 5005 }, 2 },
	/* access1, access2.solarmanpv.com, 5406.deviceaccess.host */
	{ "deye",	{ 10000 }, 1 },
	/* www.alphaess.com; the storage system itself connects */
	{ "alphaess",	{ 7777 }, 1 },
	/* ukiot.sunsynk.net and iot.e-linter.com, the dongle labelled Inteless or E-Linter */
	{ "sunsynk",	{ 51100 }, 1 },
	{ "inteless",	{ 51100 }, 1 },
	/* ecu.apsystemsema.com: records on 8995 or 8996, commands on 8997 */
	{ "apsystems",	{ 8995, 8996, 8997 }, 3 },
	/* server.growatt.com; a second connection to 5280 was seen by one owner, what it carries is not known */
	{ "growatt",	{ 5279, 5280 }, 2 },
};

bool config_preset(size_t i, const char **name, const uint16_t **ports, size_t *count)
{
	if (i >= ARRAY_SIZE(presets))
		return false;
	*name = presets[i].name;
	*ports = presets[i].ports;
	*count = presets[i].count;
	return true;
}
