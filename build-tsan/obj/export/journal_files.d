build-tsan/obj/export/journal_files.o: src/export/journal_files.c \
 src/export/journal_files.h src/shared/util.h
src/export/journal_files.h:
src/shared/util.h:
