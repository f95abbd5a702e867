"""Stage 5: the bytes, with back-pressure both ways."""
