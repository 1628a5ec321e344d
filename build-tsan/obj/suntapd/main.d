build-tsan/obj/suntapd/main.o: src/suntapd/main.c src/shared/config.h \
 src/shared/log.h src/shared/message_ids.h src/shared/ring.h \
 src/suntapd/confine.h src/suntapd/decoder_process.h src/suntapd/flow.h \
 src/shared/flow_entry.h src/shared/util.h src/suntapd/pipes.h \
 src/suntapd/relay.h src/suntapd/tap.h src/suntapd/sockets.h \
 src/suntapd/firewall.h src/suntapd/listener.h src/suntapd/notify.h \
 src/suntapd/rules.h src/suntapd/store.h
src/shared/config.h:
src/shared/log.h:
src/shared/message_ids.h:
src/shared/ring.h:
src/suntapd/confine.h:
src/suntapd/decoder_process.h:
src/suntapd/flow.h:
src/shared/flow_entry.h:
src/shared/util.h:
src/suntapd/pipes.h:
src/suntapd/relay.h:
src/suntapd/tap.h:
src/suntapd/sockets.h:
src/suntapd/firewall.h:
src/suntapd/listener.h:
src/suntapd/notify.h:
src/suntapd/rules.h:
src/suntapd/store.h:
