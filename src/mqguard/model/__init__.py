"""Names, messages, topics, groups, routes: the parts of a message system. Pure."""
