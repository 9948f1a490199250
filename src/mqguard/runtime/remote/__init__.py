"""Users and policies in a store that several servers share over the network: requests never wait for it."""
