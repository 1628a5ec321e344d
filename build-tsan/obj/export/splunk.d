build-tsan/obj/export/splunk.o: src/export/splunk.c src/export/exporter.h \
 src/export/destination.h src/export/record.h src/shared/ini.h \
 src/export/reader.h src/export/room.h src/export/journal_files.h \
 src/export/settings.h src/shared/config.h src/export/json_record.h \
 src/export/text.h src/export/sender.h src/export/http.h src/shared/log.h \
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
src/export/json_record.h:
src/export/text.h:
src/export/sender.h:
src/export/http.h:
src/shared/log.h:
src/shared/util.h:
