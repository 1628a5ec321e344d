build-tsan/obj/decoder/routine.o: src/decoder/routine.c \
 src/decoder/routine.h src/shared/flow_entry.h src/shared/util.h
src/decoder/routine.h:
src/shared/flow_entry.h:
src/shared/util.h:
