"""The sending half without its windows and timers: what waits, what is sent, what is lost."""

from rtcsend.datapath.sctp.delivery import Flight
from rtcsend.datapath.sctp.outstanding import Acked, Outstanding
from rtcsend.datapath.sctp.rack import Lost, Rack
from rtcsend.datapath.sctp.send_queue import Chunk, Run, SendQueue
from rtcsend.datapath.sctp.wire import HEADER_SIZE, Sack

PAYLOAD = 100
MIN_RTT, SRTT = 0.1, 0.15
ROOM = 10**6


def flight(now: float) -> Flight:
    return Flight(sent_at=now, delivered=0, delivered_at=0.0, first_sent_at=0.0, app_limited=False)


def cut(queue: SendQueue, budget: int, now: float) -> list[Chunk | Run]:
    return queue.cut(budget, payload=PAYLOAD, header=bytes(HEADER_SIZE), flight=flight(now))


def singles(chunks: list[Chunk | Run]) -> list[Chunk]:
    """Return the chunks that stand in runs one by one."""
    return [
        one for chunk in chunks for one in (chunk.chunks() if isinstance(chunk, Run) else [chunk])
    ]


class Sending:
    """Time is handed in; every RTT is known."""

    def __init__(self, first_tsn: int = 0) -> None:
        self.queue = SendQueue(first_tsn)
        self.outstanding = Outstanding(first_tsn)
        self.rack = Rack(self.outstanding, now=0.0)

    def send(self, budget: int, now: float) -> list[Chunk]:
        chunks = cut(self.queue, budget, now)
        self.outstanding.add(chunks, size=sum(chunk.size * chunk.count for chunk in chunks))
        return singles(chunks)

    def burst(self, count: int, now: float) -> None:
        """Send ``count`` full chunks at once."""
        self.queue.add(0, 53, bytes(PAYLOAD * count))
        assert len(self.send(PAYLOAD * count, now)) == count

    def take(self, sack: Sack, now: float) -> tuple[Acked, Lost]:
        acked = self.outstanding.receive_sack(sack)
        assert acked is not None
        self.rack.on_acked(acked, min_rtt=MIN_RTT, now=now)
        self.rack.adapt_window(has_duplicates=sack.duplicates > 0)
        return acked, self.detect(now)

    def detect(self, now: float) -> Lost:
        return self.rack.detect(min_rtt=MIN_RTT, srtt=SRTT, now=now)
