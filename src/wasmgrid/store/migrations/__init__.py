"""Schema changes in order. Each goes from one release's schema to the next; `schema.metadata` is where they lead."""
