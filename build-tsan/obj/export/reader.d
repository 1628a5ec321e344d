build-tsan/obj/export/reader.o: src/export/reader.c src/export/reader.h \
 src/export/record.h src/export/room.h src/export/journal_files.h \
 src/export/settings.h src/export/destination.h src/shared/ini.h \
 src/shared/config.h src/shared/log.h src/shared/message_ids.h \
 src/shared/util.h
src/export/reader.h:
src/export/record.h:
src/export/room.h:
src/export/journal_files.h:
src/export/settings.h:
src/export/destination.h:
src/shared/ini.h:
src/shared/config.h:
src/shared/log.h:
src/shared/message_ids.h:
src/shared/util.h:
