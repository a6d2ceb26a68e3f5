"""PostgreSQL: the record. One module per table; SQL stands beside the method that runs it.

Arrays go out in binary (`%b`): in text, psycopg searches every element for characters to escape,
which costs ten times as much and more for JSON. Only arrays of seconds, where int and float mix,
go out in text (`%s`).
"""
