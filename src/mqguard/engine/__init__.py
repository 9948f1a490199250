"""Operations of a broker as synchronous calls over the ports of the store: sending, fetching, offsets, retries."""
