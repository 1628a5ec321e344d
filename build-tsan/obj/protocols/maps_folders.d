build-tsan/obj/protocols/maps_folders.o: src/protocols/maps_folders.c \
 src/protocols/maps_folders.h
src/protocols/maps_folders.h:
