"""One process per peer, in the environment of that peer; it is told what to run line by line (`driver.serve`)."""
