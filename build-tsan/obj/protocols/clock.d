build-tsan/obj/protocols/clock.o: src/protocols/clock.c \
 src/protocols/clock.h src/shared/util.h
src/protocols/clock.h:
src/shared/util.h:
