build-tsan/obj/protocols/sniff.o: src/protocols/sniff.c \
 src/protocols/sniff.h
src/protocols/sniff.h:
