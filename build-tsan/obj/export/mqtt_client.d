build-tsan/obj/export/mqtt_client.o: src/export/mqtt_client.c \
 src/export/mqtt_client.h src/export/destination.h src/export/record.h \
 src/shared/ini.h src/export/settings.h src/shared/config.h \
 src/export/exporter.h src/export/reader.h src/export/room.h \
 src/export/journal_files.h src/shared/log.h src/shared/util.h
src/export/mqtt_client.h:
src/export/destination.h:
src/export/record.h:
src/shared/ini.h:
src/export/settings.h:
src/shared/config.h:
src/export/exporter.h:
src/export/reader.h:
src/export/room.h:
src/export/journal_files.h:
src/shared/log.h:
src/shared/util.h:
