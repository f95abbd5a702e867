"""An SCTP association for DataChannels, sans-I/O: packets and time in, packets and timers out.

RFC 9260 with what WebRTC needs of RFC 8832 (DCEP), RFC 6525 (stream reset), RFC 3758 (partial
reliability, tolerated), RFC 8899 (path MTU discovery) and RFC 9653 (zero checksum over DTLS).
"""
