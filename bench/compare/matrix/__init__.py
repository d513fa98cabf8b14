"""Scenarios that nobody tuned for, on postrider and beside other brokers, one run after another in turns.

`scenarios` and `sizes` say what is measured, `runner` takes the brokers through it in turns, `stage` is one broker with an empty
directory and what goes on at it, `processes` are what puts load on it; `rows` are the figures, `record` keeps them, `tables`,
`pictures` and `pages` are what people see of them, in `words`; `fetch` brings what comes from elsewhere.
"""
