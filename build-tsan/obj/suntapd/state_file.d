build-tsan/obj/suntapd/state_file.o: src/suntapd/state_file.c \
 src/suntapd/state_file.h src/shared/control.h src/shared/log.h \
 src/shared/util.h
src/suntapd/state_file.h:
src/shared/control.h:
src/shared/log.h:
src/shared/util.h:
