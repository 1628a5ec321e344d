build-tsan/obj/export/json_record.o: src/export/json_record.c \
 src/export/json_record.h src/export/record.h src/export/text.h
src/export/json_record.h:
src/export/record.h:
src/export/text.h:
