"""The last stage of a file's way: reading it, and writing it safely under the chosen folder.

``paths`` decides about names (pure), ``source`` reads, ``sink`` and ``stdout_sink`` write.
What this stage must never do: write outside the folder, overwrite unasked, or leave a half
file under the final name.
"""
