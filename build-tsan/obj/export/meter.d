build-tsan/obj/export/meter.o: src/export/meter.c src/export/meter.h \
 src/shared/util.h
src/export/meter.h:
src/shared/util.h:
