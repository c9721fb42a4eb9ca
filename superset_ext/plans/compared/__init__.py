"""Charts that are answered by another text of their statement, compared with Superset's own before and after.

What rewrites and aggregates share, however they come by another text.

A statement is answered by its other text only after both have been run in the background, at one moment of the source
and as the same user, with the same rows and names and types of columns, and the other one was quicker (`shadow.py`,
`pairs.py`). After that a sample is run so. The first difference ends the rule by which the text was made, in all
processes, drops the answers that it gave, and is an alert (`switches.py`, `kept.py`). Whatever fails is answered by
Superset's own statement (`host.substitutes`).
"""
