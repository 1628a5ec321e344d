build-tsan/obj/export/sender.o: src/export/sender.c src/export/sender.h \
 src/export/destination.h src/export/record.h src/shared/ini.h \
 src/export/http.h src/export/settings.h src/shared/config.h \
 src/export/text.h src/export/exporter.h src/export/reader.h \
 src/export/room.h src/export/journal_files.h src/shared/log.h \
 src/shared/util.h
src/export/sender.h:
src/export/destination.h:
src/export/record.h:
src/shared/ini.h:
src/export/http.h:
src/export/settings.h:
src/shared/config.h:
src/export/text.h:
src/export/exporter.h:
src/export/reader.h:
src/export/room.h:
src/export/journal_files.h:
src/shared/log.h:
src/shared/util.h:
