"""Where rooms live: in this process, or in Redis for any number of processes.

``base`` is the interface, ``memory`` and ``redis_store`` keep it, ``opening`` chooses. Pure:
``base``, ``memory``, ``entries``, ``replica``. Shells: ``redis_store``, ``redis_feed``,
``opening``.
"""
