build-tsan/obj/export/homeassistant.o: src/export/homeassistant.c \
 src/export/homeassistant.h src/export/settings.h \
 src/export/destination.h src/export/record.h src/shared/ini.h \
 src/shared/config.h src/protocols/vocabulary.h src/shared/util.h
src/export/homeassistant.h:
src/export/settings.h:
src/export/destination.h:
src/export/record.h:
src/shared/ini.h:
src/shared/config.h:
src/protocols/vocabulary.h:
src/shared/util.h:
