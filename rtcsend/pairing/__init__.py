"""Stage 3: from the words of a code to a strong key that no server knows."""
