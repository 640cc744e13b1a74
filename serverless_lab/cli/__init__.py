"""The command line: reads options, calls a package, hands on its result."""
