build-tsan/obj/shared/config_presets.o: src/shared/config_presets.c \
 src/shared/config.h src/shared/util.h
src/shared/config.h:
src/shared/util.h:
