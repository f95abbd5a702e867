"""The path that packets take: who is heard on it, how far that is, and how large they may be.

Pure. It joins :mod:`~.heartbeat` and :mod:`~.pmtud`, and tells :mod:`~.outbound` what they find.
When the path becomes another one, all of it begins anew.

Sources: RFC 9260 §6.9, §8; RFC 8899; RFC 9000 §9.4.
"""

from typing import Final

from rtcsend.datapath.sctp.config import AssociationConfig
from rtcsend.datapath.sctp.heartbeat import Heartbeats, parse_ack_untrusted, probe
from rtcsend.datapath.sctp.outbound import Outbound
from rtcsend.datapath.sctp.pmtud import PathMtu
from rtcsend.datapath.sctp.send_queue import payload_for

NARROW_PAUSE: Final = 10.0  # seconds that IP cuts the smallest packets; an outage looks the same
MAX_NARROW_PAUSE: Final = 60.0  # seconds; it doubles: a path that is so narrow stays so, mostly


class Path:
    """One path at a time, of an association.

    Args:
        config: For the largest packet, and the congestion controller of a path.
        now: Seconds.
    """

    def __init__(self, config: AssociationConfig, *, now: float) -> None:
        self._config = config
        self.mtu = PathMtu(maximum=config.packet_limit, now=now)
        controller = config.controller(payload_for(self.mtu.size), now)
        self.outbound = Outbound(config.initial_tsn, controller=controller, now=now)
        """What goes along the path."""
        self._oversize_until = 0  # the order of the first chunk that is small again
        self._narrow_until: float | None = None  # till then IP cuts packets of the base size
        self._narrow_pause = NARROW_PAUSE
        self._heartbeats = Heartbeats(now=now)
        self._since = now

    @property
    def needs_fragmentation(self) -> bool:
        """Whether packets may now be larger than the path takes, and IP has to cut them.

        A chunk has its TSN and cannot be made smaller: RFC 9260 §6.9. And IPv4 has paths that do
        not even take the base size: there it stays so for a while, and then is tried again.
        While this is true, no probe of the path's size is sent.
        """
        if self._narrow_until is not None:
            return True
        return self.outbound.outstanding.cumulative_order < self._oversize_until

    def changed(self, *, now: float) -> None:
        """Packets go another way from now on; nothing is known of it."""
        self._note_oversize()
        self._narrow_until, self._narrow_pause = None, NARROW_PAUSE
        self._since = now
        self.mtu = PathMtu(maximum=self._config.packet_limit, now=now)
        controller = self._config.controller(payload_for(self.mtu.size), now)
        self.outbound.path_changed(controller=controller, now=now)

    def on_heard(self, *, is_backed_off: bool = False, now: float) -> None:
        """Note a sign of life: see :meth:`.Heartbeats.on_heard`."""
        self._heartbeats.on_heard(is_backed_off=is_backed_off, now=now)

    def heartbeat(self, *, now: float) -> bytes:
        """Return a chunk to send now, which asks for the round trip and for a sign of life."""
        return self._heartbeats.heartbeat(now=now)

    def heartbeat_due(self, *, now: float) -> bytes | None:
        """Return a heartbeat when it is time for one."""
        return self.heartbeat(now=now) if self._heartbeats.is_due(now=now) else None

    def is_dead(self, *, now: float) -> bool:
        """Whether an answer is due for too long."""
        return self._heartbeats.is_dead(is_waiting=bool(self.outbound.outstanding), now=now)

    def receive_ack_untrusted(self, value: bytes, *, now: float) -> None:
        """Take a HEARTBEAT ACK; what belongs to an earlier path is passed over.

        Raises:
            PeerProtocolError: It is malformed.
        """
        echo = parse_ack_untrusted(value, now=now)
        if echo is None or echo.sent_at < self._since:
            return
        if echo.size:
            self.mtu.on_probe_acknowledged(echo.size, now=now)
            self.outbound.set_packet_size(self.mtu.size, now=now)
        if echo.rtt is not None:
            self.outbound.on_rtt_sample(echo.rtt, now=now)

    def on_black_hole(self, *, now: float) -> None:
        """Packets become small again; what is outstanding stays as large as it is.

        Where they are as small as can be, it is left to IP to cut them.
        """
        if self.mtu.is_base and not self.needs_fragmentation:
            self._narrow_until = now + self._narrow_pause
            self._narrow_pause = min(2 * self._narrow_pause, MAX_NARROW_PAUSE)
        self._note_oversize()
        self.mtu.on_black_hole(now=now)
        self.outbound.set_packet_size(self.mtu.size, now=now)

    def probe_due(self, *, now: float) -> bytes | None:
        """Return the chunks of a packet that probes a larger size, when it is time for one."""
        if self._narrow_until is not None and now >= self._narrow_until:
            self._narrow_until = None
        if self.needs_fragmentation:
            return None
        size = self.mtu.probe_to_send(now=now, rtt=self.outbound.rtt.srtt)
        return None if size is None else probe(size, now=now)

    def get_timer(self) -> float:
        """Return when to ask for :meth:`heartbeat_due` and :meth:`probe_due` next."""
        probe_at = self._narrow_until
        if not self.needs_fragmentation:
            probe_at = self.mtu.get_timer()
        heartbeat_at = self._heartbeats.get_timer()
        return heartbeat_at if probe_at is None else min(heartbeat_at, probe_at)

    def _note_oversize(self) -> None:
        if not self.mtu.is_base:
            self._oversize_until = self.outbound.outstanding.next_order
