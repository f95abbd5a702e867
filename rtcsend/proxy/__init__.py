"""HTTP proxies: which one leads to a server, and a connection through it by CONNECT.

For the WebSocket to the rendezvous and for TURN by TCP and TLS; UDP has no such thing. The rules
which proxy is used are the same for all of them (:mod:`~rtcsend.proxy.settings`). Supported are
``http://`` and ``https://`` proxies with Basic authentication or none.

Place in the flow: before the sockets of :mod:`rtcsend.rendezvous`, :mod:`rtcsend.peer` and
:mod:`rtcsend.doctor`.
"""
