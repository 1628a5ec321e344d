build-tsan/obj/protocols/vocabulary.o: src/protocols/vocabulary.c \
 src/protocols/vocabulary.h
src/protocols/vocabulary.h:
