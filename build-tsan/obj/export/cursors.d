build-tsan/obj/export/cursors.o: src/export/cursors.c \
 src/export/cursors.h src/export/reader.h src/export/record.h \
 src/export/room.h src/export/journal_files.h src/export/settings.h \
 src/export/destination.h src/shared/ini.h src/shared/config.h \
 src/shared/log.h src/shared/util.h
src/export/cursors.h:
src/export/reader.h:
src/export/record.h:
src/export/room.h:
src/export/journal_files.h:
src/export/settings.h:
src/export/destination.h:
src/shared/ini.h:
src/shared/config.h:
src/shared/log.h:
src/shared/util.h:
