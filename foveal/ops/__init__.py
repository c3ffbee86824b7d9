"""Mathematics shared by mechanisms, without a paper of its own."""
