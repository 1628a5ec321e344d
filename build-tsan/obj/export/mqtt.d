build-tsan/obj/export/mqtt.o: src/export/mqtt.c src/export/exporter.h \
 src/export/destination.h src/export/record.h src/shared/ini.h \
 src/export/reader.h src/export/room.h src/export/journal_files.h \
 src/export/settings.h src/shared/config.h src/export/homeassistant.h \
 src/export/mqtt_client.h src/export/mqtt_devices.h src/export/meter.h \
 src/export/text.h src/shared/log.h src/shared/util.h
src/export/exporter.h:
src/export/destination.h:
src/export/record.h:
src/shared/ini.h:
src/export/reader.h:
src/export/room.h:
src/export/journal_files.h:
src/export/settings.h:
src/shared/config.h:
src/export/homeassistant.h:
src/export/mqtt_client.h:
src/export/mqtt_devices.h:
src/export/meter.h:
src/export/text.h:
src/shared/log.h:
src/shared/util.h:
