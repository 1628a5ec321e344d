build-tsan/obj/protocols/knowledge.o: src/protocols/knowledge.c \
 src/protocols/knowledge.h src/protocols/clock.h src/protocols/map.h \
 src/protocols/reading.h src/protocols/session.h src/shared/util.h \
 src/protocols/maps_folders.h
src/protocols/knowledge.h:
src/protocols/clock.h:
src/protocols/map.h:
src/protocols/reading.h:
src/protocols/session.h:
src/shared/util.h:
src/protocols/maps_folders.h:
