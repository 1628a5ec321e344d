build-tsan/obj/suntapd/flow.o: src/suntapd/flow.c \
 src/suntapd/flow_private.h src/shared/config.h src/suntapd/flow.h \
 src/shared/flow_entry.h src/shared/util.h src/suntapd/pipes.h \
 src/suntapd/relay.h src/suntapd/tap.h src/shared/ring.h \
 src/suntapd/sockets.h src/suntapd/store.h
src/suntapd/flow_private.h:
src/shared/config.h:
src/suntapd/flow.h:
src/shared/flow_entry.h:
src/shared/util.h:
src/suntapd/pipes.h:
src/suntapd/relay.h:
src/suntapd/tap.h:
src/shared/ring.h:
src/suntapd/sockets.h:
src/suntapd/store.h:
