build-tsan/obj/suntapd/pipes.o: src/suntapd/pipes.c src/suntapd/pipes.h \
 src/shared/util.h src/suntapd/notify.h src/suntapd/store.h
src/suntapd/pipes.h:
src/shared/util.h:
src/suntapd/notify.h:
src/suntapd/store.h:
