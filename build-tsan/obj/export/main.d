build-tsan/obj/export/main.o: src/export/main.c src/export/exporter.h \
 src/export/destination.h src/export/record.h src/shared/ini.h \
 src/export/reader.h src/export/room.h src/export/journal_files.h \
 src/export/settings.h src/shared/config.h src/shared/log.h \
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
src/shared/log.h:
src/shared/util.h:
