build-tsan/obj/export/progress.o: src/export/progress.c \
 src/export/progress.h src/export/record.h src/shared/util.h
src/export/progress.h:
src/export/record.h:
src/shared/util.h:
