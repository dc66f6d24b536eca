"""One small script a peer; each runs in a process of its own, by the interpreter that has the peer."""
