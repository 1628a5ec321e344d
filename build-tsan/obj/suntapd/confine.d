build-tsan/obj/suntapd/confine.o: src/suntapd/confine.c \
 src/suntapd/confine.h src/shared/util.h
src/suntapd/confine.h:
src/shared/util.h:
