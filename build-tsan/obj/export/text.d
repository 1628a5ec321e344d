build-tsan/obj/export/text.o: src/export/text.c src/export/text.h
src/export/text.h:
