build-tsan/obj/shared/config_match.o: src/shared/config_match.c \
 src/shared/config_private.h src/shared/config.h src/shared/ini.h
src/shared/config_private.h:
src/shared/config.h:
src/shared/ini.h:
