"""The name server: route table, key-value configuration and their processors."""
