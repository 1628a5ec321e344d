build-tsan/obj/suntapd/relay.o: src/suntapd/relay.c src/suntapd/relay.h \
 src/shared/flow_entry.h src/shared/util.h src/suntapd/pipes.h \
 src/suntapd/tap.h src/shared/ring.h
src/suntapd/relay.h:
src/shared/flow_entry.h:
src/shared/util.h:
src/suntapd/pipes.h:
src/suntapd/tap.h:
src/shared/ring.h:
