build-tsan/obj/export/exporter.o: src/export/exporter.c \
 src/export/exporter.h src/export/destination.h src/export/record.h \
 src/shared/ini.h src/export/reader.h src/export/room.h \
 src/export/journal_files.h src/export/settings.h src/shared/config.h \
 src/export/cursors.h src/export/progress.h src/shared/log.h \
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
src/export/cursors.h:
src/export/progress.h:
src/shared/log.h:
src/shared/util.h:
