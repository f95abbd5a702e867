"""What a transfer consists of: entries, their order, and the stream that their contents form.

Pure, and shared by the transfer, which carries it, and the files, which read and write it.
"""
