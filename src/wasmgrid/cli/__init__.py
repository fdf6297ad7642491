"""Stage 1, the person's half: commands that parse, call and render. Business logic is elsewhere.

Commands are loaded when they are named; nothing heavy is imported by any that only asks a server.
"""
