build-tsan/obj/shared/config_check.o: src/shared/config_check.c \
 src/shared/config_private.h src/shared/config.h src/shared/ini.h \
 src/shared/util.h
src/shared/config_private.h:
src/shared/config.h:
src/shared/ini.h:
src/shared/util.h:
