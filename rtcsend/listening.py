"""Files of known machines are received, whenever one comes: the wiring of ``receive --listen``.

Place in the flow: around what :mod:`rtcsend.receiving` does with each who has come.
"""

from typing import NoReturn

import rtcsend.tree_decision  # noqa: F401 - not late: rtcsend may be upgraded while it waits
from rtcsend.meeting.met import Met
from rtcsend.options import Emit, Questions, ReceiveOptions
from rtcsend.receiving import receive_from
from rtcsend.rendezvous.ice_urls import parse_ice_url
from rtcsend.serving.listening import serve_known
from rtcsend.serving.one_by_one import OneByOne
from rtcsend.session import check_environment, loading_webrtc
from rtcsend.target import Target


async def listen(options: ReceiveOptions, *, questions: Questions, emit: Emit) -> NoReturn:
    """Receive from known machines, whenever one comes, until it is cancelled.

    Each event but the first, which says who is waited for, tells of which visit it is.

    Raises:
        RtcsendError: Nobody can come (any more); not what goes wrong in one visit.
    """
    check_environment()
    ice_servers = [parse_ice_url(url) for url in options.ice]
    async with loading_webrtc() as webrtc:
        one_by_one = OneByOne(questions)

        async def serve(met: Met, emit: Emit) -> None:
            async with Target(options, questions=one_by_one, emit=emit) as target:
                await receive_from(
                    met, options, ice_servers, target=target, webrtc=webrtc, emit=emit
                )

        async with Target(options, questions=one_by_one, emit=emit):
            pass  # the folder is there
        await serve_known(options, serve=serve, emit=emit)
