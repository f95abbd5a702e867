"""Stage 2: the rendezvous, where the two sides of a code find each other.

A small WebSocket server passes opaque messages between them (docs/rendezvous-protocol.md).
Pure: ``wire``, ``messages``, ``ice_urls``, ``server_url``, ``machine``. Shells: ``client``
(WebSocket), ``local`` (files of this machine), ``lan`` (mDNS), ``discovery`` (all of them).
Nothing is imported here, so that the server can take ``messages`` alone.
"""
