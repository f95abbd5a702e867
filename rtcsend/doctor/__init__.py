"""What this machine's network allows, found out by asking: ``rtcsend doctor``.

Beside the flow: it moves no file and pairs with nobody. The machines, on virtual time:
``transaction``, ``nat``, ``path_mtu``, ``binding``, ``allocation``, ``burst``, ``relaying``.
Pure as well: ``findings`` and ``conclusion`` (what is said), ``servers``, ``interfaces``,
``nat_sentences``, ``probing``. Shells: ``codec`` (aioice's message format), ``links`` (sockets),
``host``, ``reasons``, ``stun_family``, ``relays``; ``rendezvous``, ``stun_checks`` and
``turn_checks`` tell what was found, and ``run`` runs all of them.
Nothing is imported here, so that the command line can take ``findings`` alone.
"""
