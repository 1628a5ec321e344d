build-tsan/obj/export/settings.o: src/export/settings.c \
 src/export/settings.h src/export/destination.h src/export/record.h \
 src/shared/ini.h src/shared/config.h src/shared/log.h src/shared/util.h
src/export/settings.h:
src/export/destination.h:
src/export/record.h:
src/shared/ini.h:
src/shared/config.h:
src/shared/log.h:
src/shared/util.h:
