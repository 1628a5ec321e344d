build-tsan/obj/suntapd/notify.o: src/suntapd/notify.c \
 src/suntapd/notify.h src/shared/util.h
src/suntapd/notify.h:
src/shared/util.h:
