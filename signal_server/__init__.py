"""The rendezvous server of rtcsend: it introduces two sides and passes opaque messages.

Pure: ``mailbox`` (the machine), ``outputs``, ``directory``, ``storage``, ``limits``,
``deadlines``, ``nameplates``, ``metrics``, ``messages``, ``config``. Shells: ``server``
(WebSocket), ``listeners``, ``cli``. The protocol is docs/rendezvous-protocol.md; nothing
of WebRTC is imported here.
"""
