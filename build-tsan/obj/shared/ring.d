build-tsan/obj/shared/ring.o: src/shared/ring.c src/shared/ring.h \
 src/shared/util.h
src/shared/ring.h:
src/shared/util.h:
