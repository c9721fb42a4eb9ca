"""Charts that are answered by another text of their statement, where a rule of the settings allows it.

**The argument** why an answer is the same. A rule changes a text only where all that it needs is known to hold (see
`plans.rewrite`). What it knows of columns and keys is read again right before the text is sent, in the same transaction
and with the tables locked against changes of their definition (`proven.py`). A statement is answered by its other text
only after both have been run in the background, at one moment of the source and as the same user, with the same rows
and names and types of columns, and the other one was quicker (`shadow.py`). After that a sample is run so. The first
difference ends the rule for that dataset in all processes, drops the answers that it gave, and is an alert
(`switches.py`). Whatever fails is answered by Superset's own statement (`host.substitutes`).
"""
