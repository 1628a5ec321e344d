build-tsan/obj/shared/ini.o: src/shared/ini.c src/shared/ini.h \
 src/shared/util.h
src/shared/ini.h:
src/shared/util.h:
