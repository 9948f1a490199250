"""One file per family of request codes; each says which codes it serves in `handlers`."""
