build-tsan/obj/protocols/alphaess_body.o: src/protocols/alphaess_body.c \
 src/protocols/alphaess_body.h
src/protocols/alphaess_body.h:
