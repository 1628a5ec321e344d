build-tsan/obj/tool/maps_command.o: src/tool/maps_command.c \
 src/tool/maps_command.h src/protocols/map.h src/protocols/reading.h \
 src/protocols/maps_folders.h src/shared/util.h src/tool/options.h \
 src/tool/output.h src/protocols/session.h
src/tool/maps_command.h:
src/protocols/map.h:
src/protocols/reading.h:
src/protocols/maps_folders.h:
src/shared/util.h:
src/tool/options.h:
src/tool/output.h:
src/protocols/session.h:
