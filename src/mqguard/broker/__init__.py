"""The broker's remoting face: one processor file per family of request codes."""
