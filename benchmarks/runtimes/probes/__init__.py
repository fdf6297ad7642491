"""A process per runtime and program, in that runtime's environment: MODULE ARGS... on the command line, JSON out."""
