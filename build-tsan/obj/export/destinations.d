build-tsan/obj/export/destinations.o: src/export/destinations.c \
 src/export/destination.h src/export/record.h src/shared/ini.h \
 src/shared/util.h
src/export/destination.h:
src/export/record.h:
src/shared/ini.h:
src/shared/util.h:
