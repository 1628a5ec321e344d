build-tsan/obj/shared/config_keys.o: src/shared/config_keys.c \
 src/shared/config_private.h src/shared/config.h src/shared/ini.h \
 src/shared/util.h
src/shared/config_private.h:
src/shared/config.h:
src/shared/ini.h:
src/shared/util.h:
