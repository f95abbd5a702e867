"""Where rooms live: in this process, or in Redis for any number of processes.

``base`` is the interface, ``memory`` and ``redis_store`` keep it, ``opening`` chooses. Pure:
``base``, ``memory``, ``entries``, ``replica``, ``processes``, ``redis_clock``, ``redis_scripts``.
Shells: ``redis_store``, ``redis_rooms``, ``followed``, ``redis_link``, ``redis_shared``,
``redis_connection``, ``redis_feed``, ``redis_upkeep``, ``opening``.
"""
