build-tsan/obj/export/metrics.o: src/export/metrics.c \
 src/export/exporter.h src/export/destination.h src/export/record.h \
 src/shared/ini.h src/export/reader.h src/export/room.h \
 src/export/journal_files.h src/export/settings.h src/shared/config.h \
 src/export/metrics.h src/export/text.h src/shared/log.h \
 src/shared/util.h
src/export/exporter.h:
src/export/destination.h:
src/export/record.h:
src/shared/ini.h:
src/export/reader.h:
src/export/room.h:
src/export/journal_files.h:
src/export/settings.h:
src/shared/config.h:
src/export/metrics.h:
src/export/text.h:
src/shared/log.h:
src/shared/util.h:
