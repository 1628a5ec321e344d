build-tsan/obj/shared/flow_entry.o: src/shared/flow_entry.c \
 src/shared/flow_entry.h src/shared/util.h
src/shared/flow_entry.h:
src/shared/util.h:
