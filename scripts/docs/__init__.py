"""The documents as a site: pages are gathered, the reference is written from the code, mkdocs builds it strictly."""
