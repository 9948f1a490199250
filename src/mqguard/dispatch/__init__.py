"""The request loop under every face: router, requests, errors as answers, requests that wait, calls to clients."""
