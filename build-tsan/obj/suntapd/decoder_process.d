build-tsan/obj/suntapd/decoder_process.o: src/suntapd/decoder_process.c \
 src/suntapd/decoder_process.h src/shared/ring.h src/suntapd/flow.h \
 src/shared/flow_entry.h src/shared/util.h src/suntapd/pipes.h \
 src/suntapd/relay.h src/suntapd/tap.h src/suntapd/sockets.h \
 src/shared/control.h src/shared/log.h src/shared/message_ids.h \
 src/suntapd/state_file.h
src/suntapd/decoder_process.h:
src/shared/ring.h:
src/suntapd/flow.h:
src/shared/flow_entry.h:
src/shared/util.h:
src/suntapd/pipes.h:
src/suntapd/relay.h:
src/suntapd/tap.h:
src/suntapd/sockets.h:
src/shared/control.h:
src/shared/log.h:
src/shared/message_ids.h:
src/suntapd/state_file.h:
