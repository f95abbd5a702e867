"""Stage 1, the code: a nameplate that names the mailbox, and words that are the password."""
