build-tsan/obj/export/record.o: src/export/record.c src/export/record.h \
 src/shared/message_ids.h src/shared/util.h
src/export/record.h:
src/shared/message_ids.h:
src/shared/util.h:
