"""The command `settled`: main.py finds the verb, one file holds each noun or long verb.

Data goes to stdout, talk and progress to stderr. Source: CONTRACT.md, section 2.
"""
