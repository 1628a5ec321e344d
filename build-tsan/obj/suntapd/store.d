build-tsan/obj/suntapd/store.o: src/suntapd/store.c src/suntapd/store.h \
 src/shared/util.h src/suntapd/notify.h src/suntapd/sockets.h \
 src/shared/flow_entry.h
src/suntapd/store.h:
src/shared/util.h:
src/suntapd/notify.h:
src/suntapd/sockets.h:
src/shared/flow_entry.h:
