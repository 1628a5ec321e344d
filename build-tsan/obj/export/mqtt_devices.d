build-tsan/obj/export/mqtt_devices.o: src/export/mqtt_devices.c \
 src/export/mqtt_devices.h src/export/homeassistant.h \
 src/export/settings.h src/export/destination.h src/export/record.h \
 src/shared/ini.h src/shared/config.h src/export/meter.h \
 src/export/text.h src/shared/log.h src/shared/util.h
src/export/mqtt_devices.h:
src/export/homeassistant.h:
src/export/settings.h:
src/export/destination.h:
src/export/record.h:
src/shared/ini.h:
src/shared/config.h:
src/export/meter.h:
src/export/text.h:
src/shared/log.h:
src/shared/util.h:
