"""Stage 6: the transfer protocol, from the proposal to the final acknowledgement."""
