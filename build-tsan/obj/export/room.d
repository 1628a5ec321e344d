build-tsan/obj/export/room.o: src/export/room.c src/export/room.h \
 src/export/journal_files.h src/shared/util.h
src/export/room.h:
src/export/journal_files.h:
src/shared/util.h:
