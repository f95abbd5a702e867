"""Stage 4: from a shared key to a peer connection that no server can stand between."""
