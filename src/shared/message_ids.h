/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * message_ids.h - the MESSAGE_ID of each kind of journal entry
 *
 * systemd/suntap.catalog explains them to people, suntap.journal-fields(7) lists them.
 */
#ifndef SUNTAP_MESSAGE_IDS_H
#define SUNTAP_MESSAGE_IDS_H

#define MESSAGE_ID_FLOW_OPENED        "1ad5dbde0e7840779ca7c1dce7896a9e"	/* a flow of a configured device was opened */
#define MESSAGE_ID_FLOW_CLOSED        "ab2217f2e22b4314ac6f733e2f3ace21"	/* a flow ended; bytes, duration and cause are in its fields */
#define MESSAGE_ID_READING            "05801ceef3944dfebad7eb0cedd6ab31"	/* a device's record, one measurement a field */
#define MESSAGE_ID_INFO               "0e71f896f24c4881889e6d951261b427"	/* what a device says of itself: identification, settings */
#define MESSAGE_ID_UNKNOWN_FRAME      "ff672fd191af42d8a82172a84ca768bb"	/* a frame or a stream that no decoder understands, as hex */
#define MESSAGE_ID_BAD_FRAME          "0bf8a78b8185493387cb88aeb73cfbbf"	/* a frame that failed its checksum or its form */
#define MESSAGE_ID_TLS_SEEN           "17b922d738574f9293739b643c030f6d"	/* the flow is TLS: relayed, not readable */
#define MESSAGE_ID_ENCRYPTED          "b17b79b5f78b44c783819c6be9ebb55d"	/* a protocol we know, with contents encrypted by the device */
#define MESSAGE_ID_GAP                "e81c079cbfe848ba94440eec0e1a3b06"	/* the decoder missed bytes or events; the relay did not */
#define MESSAGE_ID_DECODER_RESTARTED  "0ea3c098cd024ea1a818889415dca118"	/* the decoder died or hung and was started again */
#define MESSAGE_ID_FLOW_REFUSED       "931508b5bb6a43f88bd89c81afed8c63"	/* a connection was refused by suntapd */
#define MESSAGE_ID_RULES_REPAIRED     "9a4ca9b4d65d445e8863f8a6fd8a9570"	/* rules or routes of ours were gone and were put back */
#define MESSAGE_ID_RULES_CONFLICT     "d397fe645ceb430eb1e9561c97095356"	/* rules of somebody else are in the way of ours, or ours of theirs */
#define MESSAGE_ID_CONFIG_RELOADED    "0eceb6ae2fdf473d882a17f606ecca45"	/* a new configuration is in force */
#define MESSAGE_ID_CONFIG_REFUSED     "35c0381605d74eb5b84133f1c901a408"	/* a new configuration was bad, the old one stays */
#define MESSAGE_ID_COMMAND            "015901680a9d4a48897745cf0b71359b"	/* the cloud sent a command to the device */
#define MESSAGE_ID_SILENT             "56d8f3c4e25546c4819cb76ca2098244"	/* a connection that says nothing */

#endif
