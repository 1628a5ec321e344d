build-tsan/obj/suntapd/tap.o: src/suntapd/tap.c src/suntapd/tap.h \
 src/shared/flow_entry.h src/shared/util.h src/shared/ring.h \
 src/suntapd/pipes.h
src/suntapd/tap.h:
src/shared/flow_entry.h:
src/shared/util.h:
src/shared/ring.h:
src/suntapd/pipes.h:
