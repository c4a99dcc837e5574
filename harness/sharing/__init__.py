"""Runs and results that leave the house: one run as a folder that needs no other, and figures for the leaderboard.

folder.py    what an exported run holds, and whether it is whole
export.py    a finished run out of a ledger; card.py writes its model card
importing.py and into another one
hub.py       to a model hub
results.py   the file of results that a contributor commits
leaderboard.py  the table over all such files
"""
