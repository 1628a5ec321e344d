build-tsan/tests/peer: tests/tools/peer.c
