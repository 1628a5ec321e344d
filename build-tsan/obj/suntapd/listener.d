build-tsan/obj/suntapd/listener.o: src/suntapd/listener.c \
 src/suntapd/listener.h src/shared/config.h src/suntapd/flow.h \
 src/shared/flow_entry.h src/shared/util.h src/suntapd/pipes.h \
 src/suntapd/relay.h src/suntapd/tap.h src/shared/ring.h \
 src/suntapd/sockets.h src/shared/log.h src/shared/message_ids.h \
 src/suntapd/resolver.h src/suntapd/route.h src/suntapd/store.h
src/suntapd/listener.h:
src/shared/config.h:
src/suntapd/flow.h:
src/shared/flow_entry.h:
src/shared/util.h:
src/suntapd/pipes.h:
src/suntapd/relay.h:
src/suntapd/tap.h:
src/shared/ring.h:
src/suntapd/sockets.h:
src/shared/log.h:
src/shared/message_ids.h:
src/suntapd/resolver.h:
src/suntapd/route.h:
src/suntapd/store.h:
