build-tsan/obj/shared/log.o: src/shared/log.c src/shared/log.h \
 src/shared/util.h
src/shared/log.h:
src/shared/util.h:
