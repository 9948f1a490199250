"""Names, messages, topics, groups, routes: what a message system is made of. Pure."""
