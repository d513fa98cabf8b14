"""Scenarios that nobody tuned for, on postrider and beside other brokers, one run after another in turns.

`scenarios` says what is measured, `stage` is one broker with an empty directory and what goes on at it, `load` and `client` are what
puts load on it, `rows` are the figures, `tables` and `pictures` what people see of them, `fetch` what comes from elsewhere.
"""
