build-tsan/obj/shared/config.o: src/shared/config.c \
 src/shared/config_private.h src/shared/config.h src/shared/ini.h \
 src/shared/util.h
src/shared/config_private.h:
src/shared/config.h:
src/shared/ini.h:
src/shared/util.h:
