"""Work of tools: users, policies, topics and messages of a cluster, policy files, plans, explanations, migration."""
