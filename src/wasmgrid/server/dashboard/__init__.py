"""The dashboard: pages for people, in their browser, on top of the API that everybody else uses.

`static/` is what a browser runs, as it stands: no build step. `pages` serves it under a strict policy, `data` answers
what the API has in several pieces, `sign_in` lets browsers in without handing them the token.
"""
