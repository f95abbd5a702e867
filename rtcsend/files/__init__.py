"""The last stage of a file's way: reading it, and writing it safely under the chosen folder.

``paths`` decides about names (pure), ``source`` reads, ``sink`` and ``stdout_sink`` write. For
many files there are ``scan``, ``tree_source`` and ``tree_sink``; what a tree would do to the
folder is found by ``tree_plan``. What an interrupted transfer has left is found by ``leftovers``
or ``staging``, described by a ``journal`` (pure), and compared with the sender's file by
``survey``. What this stage must never do: write outside the folder, overwrite unasked, leave a
half file under the final name, or believe what it finds on the disk.
"""
