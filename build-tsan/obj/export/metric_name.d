build-tsan/obj/export/metric_name.o: src/export/metric_name.c \
 src/export/metric_name.h src/export/record.h src/protocols/vocabulary.h \
 src/shared/util.h
src/export/metric_name.h:
src/export/record.h:
src/protocols/vocabulary.h:
src/shared/util.h:
