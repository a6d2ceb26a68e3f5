"""What persons decided, as it is shown with the order or request that it was about."""

from typing import Final

from psycopg import sql

# A column of a select from the subject's table: an array of objects, oldest first.
DECISIONS_OF: Final = sql.SQL(
    """
    (select coalesce(jsonb_agg(jsonb_build_object(
                'at', to_char(at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                'what', what, 'who', who, 'reason', reason) || detail order by at, d.id), '[]')
       from decisions as d where subject_id = {subject}.id) as decisions
    """
)
