"""Charts that are answered by another text of their statement, where a rule of the settings allows it.

**The argument** why an answer is the same. A rule changes a text only where all that it needs is known to hold (see
`plans.rewrite`). What it knows of columns and keys is read again right before the text is sent, in the same transaction
and with the tables locked against changes of their definition (`proven.py`). Both texts have been run and compared
before the other one answers a chart, and a sample is afterwards (`plans.compared`). A difference ends the rule for that
dataset.
"""
